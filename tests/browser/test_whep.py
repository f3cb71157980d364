"""A WHEP reader in Chromium: another site's tiny page, which watches a broadcast as MediaMTX's page does."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from studio.spec import AvatarSpec, StudioSpec
from studio.web.keys import HOST
from studio.web.whep import VIEWERS
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.tab import Tab
from tests.conftest import need
from tests.inside import Inside, inside, spec_of
from tests.server import ROOT, free_port

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><title>Reader</title><link rel="icon" href="data:,">
<body style="margin:0;background:#222"><video id="video" autoplay muted playsinline></video>
<script>
const pc = new RTCPeerConnection();
const waiting = [];
let place = null, ufrag = '', pwd = '';
window.patched = [];
async function send(candidate) {
  const body = `a=ice-ufrag:${ufrag}\\r\\na=ice-pwd:${pwd}\\r\\nm=video 9 UDP/TLS/RTP/SAVPF 0\\r\\n`
    + `a=mid:${candidate.sdpMid}\\r\\na=${candidate.candidate}\\r\\n`;
  const headers = {'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*'};
  window.patched.push((await fetch(place, {method: 'PATCH', headers, body})).status);
}
pc.onicecandidate = ({candidate}) => {
  if (candidate && candidate.candidate) { if (place) send(candidate); else waiting.push(candidate); }
};
pc.ontrack = ({streams}) => { document.querySelector('#video').srcObject = streams[0]; };
window.watch = async (url) => {
  const asked = await fetch(url, {method: 'OPTIONS', headers: {Authorization: 'Bearer nothing'}});
  window.asked = [asked.status, asked.headers.get('Link')];
  pc.addTransceiver('video', {direction: 'recvonly'});
  pc.addTransceiver('audio', {direction: 'recvonly'});
  const offer = await pc.createOffer();
  ufrag = offer.sdp.match(/a=ice-ufrag:(\\S+)/)[1];
  pwd = offer.sdp.match(/a=ice-pwd:(\\S+)/)[1];
  await pc.setLocalDescription(offer);
  const told = await fetch(url, {method: 'POST', headers: {'Content-Type': 'application/sdp'}, body: offer.sdp});
  if (told.status !== 201) throw new Error(`${told.status} ${await told.text()}`);
  window.told = [told.headers.get('ETag'), told.headers.get('Link')];
  place = new URL(told.headers.get('Location'), url).toString();
  await pc.setRemoteDescription({type: 'answer', sdp: await told.text()});
  waiting.splice(0).forEach(send);
};
window.sounds = async () => {
  const found = [...(await pc.getStats()).values()].filter((one) => one.type === 'inbound-rtp' && one.kind === 'audio');
  return found.length ? found[0].packetsReceived : 0;
};
window.leave = async () => (await fetch(place, {method: 'DELETE'})).status;
window.colours = () => {
  const canvas = new OffscreenCanvas(64, 64), context = canvas.getContext('2d');
  context.drawImage(document.querySelector('#video'), 0, 0, 64, 64);
  return new Set(new Uint32Array(context.getImageData(0, 0, 64, 64).data.buffer)).size;
};
</script>"""


async def show(request: web.Request) -> web.Response:
    """Answer with the page."""
    return web.Response(text=PAGE, content_type="text/html")


@contextlib.asynccontextmanager
async def elsewhere() -> AsyncIterator[str]:
    """Serve the page from an origin of its own, which is yielded."""
    site = web.Application()
    site.router.add_get("/", show)
    runner = web.AppRunner(site)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


def configured(folder: Path, origin: str) -> StudioSpec:
    mira = AvatarSpec("mira", ROOT / "static" / "avatars" / "mira", "Mira", "portrait")
    spec = dataclasses.replace(spec_of(folder, (mira,)), cache=ROOT / ".studio")
    return dataclasses.replace(spec, server=dataclasses.replace(spec.server, origins=(origin,)))


async def seen(tab: Tab) -> None:
    """Wait until pictures follow each other."""
    await tab.wait_for("document.querySelector('#video').videoWidth === 512", 20)
    await tab.wait_for("document.querySelector('#video').currentTime > 0.5", 20)


async def test_page_of_another_site_watches_and_a_late_one_joins(tmp_path: Path) -> None:
    if find_chromium() is None:
        need("chromium", "chromium")
    async with elsewhere() as origin, inside(configured(tmp_path, origin)) as studio, Chromium.launch() as browser:
        tabs = [await browser.open(origin + "/") for _ in range(2)]
        for tab in tabs:
            await tab.evaluate(f"window.watch({studio.url('/whep/mira')!r})")
            await seen(tab)
        await look(studio, tabs, tmp_path)
        assert [await tab.evaluate("window.leave()") for tab in tabs] == [200, 200]
        assert not len(studio.app[VIEWERS].lines)
        assert [tab.errors for tab in tabs] == [[], []]
        allowed = {origin.split("/")[2], f"127.0.0.1:{studio.port}"}
        assert {url.split("/")[2] for tab in tabs for url in tab.requests if url.startswith("http")} == allowed


async def look(studio: Inside, tabs: list[Tab], folder: Path) -> None:
    """Look at what both tabs have got: a face, sound, headers that another site's page can read."""
    broadcast = studio.app[VIEWERS].broadcast("mira")
    assert broadcast is not None and broadcast.codecs and len(broadcast.codecs) == 2
    assert studio.app[HOST].capacity().taken == 1 and len(studio.app[VIEWERS].lines) == 2
    for tab in tabs:
        assert await tab.evaluate("window.colours()") > 200
        assert await tab.evaluate("window.sounds()") > 10
        assert await tab.evaluate("window.asked[0]") == 204
        assert str(await tab.evaluate("window.told[0]")).startswith('"')
        assert set(await tab.evaluate("window.patched")) <= {204}
    await tabs[1].screenshot(folder / "reader.png")
