"""The whole way, as a visitor has it: a real studio, a real Chromium, a microphone that speaks."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.bench.measure import CARD, configuration
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.tab import Tab
from tests.conftest import need
from tests.server import Server, free_port, studio
from tests.visitor import make_speech, pause_after

pytestmark = pytest.mark.browser

MEASURE = (Path(__file__).parent / "measure.js").read_text()
STATE = "document.documentElement.dataset.state"
SEEN = f"{STATE} === 'live' && document.querySelector('video').dataset.firstFrameMs"
FACES = ("mira", "omar", "robot", "astronaut")


@pytest.fixture(autouse=True)
def chromium() -> None:
    """Skip, saying what to install, where there is no browser."""
    if find_chromium() is None:
        need("chromium", "chromium")
    need("espeak-ng", "espeak-ng")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute and more of speech."""
    return make_speech(tmp_path_factory.mktemp("speech") / "speech.wav", repeat=4)


def config(*avatars: str) -> dict[str, Any]:
    """Return a configuration of shipped faces, the test card first if named."""
    shipped: dict[str, Any] = configuration([a for a in avatars if a != "card"])
    if "card" in avatars:
        shipped["avatars"].insert(0, CARD | {"options": {"beep": True}})
    return shipped


@asynccontextmanager
async def visiting(
    tmp: Path, speech: Path | None, *avatars: str, granted: bool = True
) -> AsyncIterator[tuple[Server, Tab]]:
    """Run a studio and a browser that has its page open; no console error may happen inside."""
    async with studio(tmp, config(*avatars)) as server, Chromium.launch(speech, granted) as browser:
        tab = await browser.open(server.http)
        await tab.wait_for("document.querySelectorAll('input[name=avatar]').length")
        yield server, tab
        assert tab.errors == []
        assert {url.split("/")[2] for url in tab.requests if "//" in url} <= {f"127.0.0.1:{server.port}"}


async def start(tab: Tab) -> float:
    """Press Start and wait for the first picture; return its milliseconds after the click."""
    await tab.click("#start")
    return float(await tab.wait_for(SEEN, 20))


async def holds(look: Callable[[], Awaitable[Any]], good: Callable[[Any], bool], tries: int = 3) -> None:
    """Measure until it is good, at most ``tries`` times: a neighbour on this machine spoils one look, never all.

    What is measured is smooth for the whole of a look or it is not; nothing is averaged over looks.
    """
    seen = []
    for _ in range(tries):
        seen.append(await look())
        if good(seen[-1]):
            return
    pytest.fail(f"in no look out of {tries}: {seen}")


async def sessions(server: Server) -> int:
    """Ask the studio how many visits it has."""
    return int((await server.metrics())["studio_sessions"])


async def test_page_speaking_face_is_smooth_for_half_a_minute(tmp_path: Path, speech: Path) -> None:
    async def look() -> Any:
        async with visiting(tmp_path, speech, "mira") as (_, tab):
            await start(tab)
            await tab.evaluate(MEASURE)
            await asyncio.sleep(1)
            return await tab.evaluate("measure.smoothness(30)", 45)

    await holds(look, lambda seen: seen["fps"] >= 24 and seen["frozen"] == 0)


async def test_page_flash_and_beep_come_together(tmp_path: Path) -> None:
    async with visiting(tmp_path, None, "card") as (_, tab):
        await start(tab)
        await tab.evaluate(MEASURE)
        await asyncio.sleep(3)

        async def look() -> Any:
            return await tab.evaluate("measure.skew(12)", 30)

        await holds(look, lambda seen: len(seen["skews"]) >= 8 and abs(statistics.median(seen["skews"])) <= 40)


async def test_page_mouth_moves_in_speech_and_rests_in_silence(tmp_path: Path) -> None:
    said = pause_after(make_speech(tmp_path / "short.wav"), tmp_path / "said.wav", 25.0)
    boxes = "{mouth: [0.40, 0.56, 0.60, 0.74], background: [0.0, 0.0, 0.12, 0.3]}"
    async with visiting(tmp_path, said, "mira") as (_, tab):
        await start(tab)
        await tab.evaluate(MEASURE)
        await tab.wait_for("document.querySelector('#stage').matches('.speaking, [data-speaking]') || "
                           "document.documentElement.hasAttribute('data-speaking')", 10)  # fmt: skip
        talking = await tab.evaluate(f"measure.motion(5, {boxes})", 15)
        await asyncio.sleep(14)
        silent = await tab.evaluate(f"measure.motion(5, {boxes})", 15)
        assert talking["mouth"] > 2 * silent["mouth"] + 0.3, (talking, silent)
        assert talking["background"] < 1.0, talking


async def test_page_first_picture_comes_within_a_second_of_the_click(tmp_path: Path, speech: Path) -> None:
    async with visiting(tmp_path, speech, "mira") as (_, tab):
        times = []
        for _ in range(5):
            times.append(await start(tab))
            await tab.click("#stop")
            await tab.wait_for(f"{STATE} === 'idle'")
        assert statistics.median(times) <= 1000, times


async def test_page_switches_the_face_without_a_new_connection(tmp_path: Path, speech: Path) -> None:
    corner = """(() => { const c = new OffscreenCanvas(8, 8), x = c.getContext('2d');
        x.drawImage(document.querySelector('video'), 0, 0, 60, 60, 0, 0, 8, 8);
        return [...x.getImageData(4, 4, 1, 1).data].slice(0, 3); })()"""
    async with visiting(tmp_path, speech, *FACES) as (server, tab):
        await start(tab)
        before = await tab.evaluate(corner)
        await tab.evaluate("document.querySelectorAll('input[name=avatar]')[2].click()")
        await tab.wait_for(f"(() => {{ const [r, g, b] = {corner}; const [R, G, B] = {before};"
                           "return Math.abs(r - R) + Math.abs(g - G) + Math.abs(b - B) > 60; })()", 5)  # fmt: skip
        assert await tab.evaluate(STATE) == "live"
        assert await sessions(server) == 1


async def test_page_interrupt_silences_within_200_ms(tmp_path: Path, speech: Path) -> None:
    async def look() -> Any:
        async with visiting(tmp_path, speech, "mira") as (_, tab):
            await start(tab)
            await tab.evaluate(MEASURE)
            await asyncio.sleep(4)
            await tab.evaluate("globalThis.quiet = measure.silenceAfter(3); null")
            await tab.evaluate("document.querySelector('#interrupt').click()")
            return await tab.evaluate("quiet", 10)

    await holds(look, lambda seen: seen <= 200 + 60)  # the measure's own window is up to 60 ms


async def test_page_stop_frees_the_seat_and_start_works_again(tmp_path: Path, speech: Path) -> None:
    async with visiting(tmp_path, speech, "robot") as (server, tab):
        for _ in range(3):
            await start(tab)
            assert await sessions(server) == 1
            await tab.click("#stop")
            await tab.wait_for(f"{STATE} === 'idle'")
        assert await sessions(server) == 0


async def test_page_two_tabs_are_two_visits_and_a_closed_one_is_gone_within_a_second(
    tmp_path: Path, speech: Path
) -> None:
    async with studio(tmp_path, config("mira", "robot")) as server, Chromium.launch(speech) as browser:
        tabs = [await browser.open(server.http) for _ in range(2)]
        for tab in tabs:
            await tab.wait_for("document.querySelectorAll('input[name=avatar]').length")
            await start(tab)
        assert await sessions(server) == 2
        await tabs[0].close()
        await asyncio.sleep(1.0)
        assert await sessions(server) == 1
        assert await tabs[1].evaluate(STATE) == "live"
        assert tabs[1].errors == []


async def test_page_refused_microphone_shows_the_face_and_says_what_to_do(tmp_path: Path) -> None:
    async with visiting(tmp_path, None, "mira", granted=False) as (_, tab):
        await start(tab)
        sentence = await tab.wait_for("document.querySelector('#status').innerText.includes('microphone')"
                                      " && document.querySelector('#status').innerText")  # fmt: skip
        assert "blocked" in sentence
        await tab.evaluate(MEASURE)
        assert (await tab.evaluate("measure.smoothness(3)", 15))["frozen"] == 0


async def test_page_lost_studio_is_said_and_found_again(tmp_path: Path, speech: Path) -> None:
    port = free_port()
    async with Chromium.launch(speech) as browser:
        async with studio(tmp_path, config("robot"), port=port) as server:
            tab = await browser.open(server.http)
            await tab.wait_for("document.querySelectorAll('input[name=avatar]').length")
            await start(tab)
            server.process.kill()
        await tab.wait_for(f"{STATE} === 'failed' && document.querySelector('#status').innerText.length > 20", 10)
        async with studio(tmp_path, config("robot"), port=port):
            await tab.wait_for(SEEN, 30)


async def test_musetalk_page_sequence_works_unchanged(tmp_path: Path, speech: Path) -> None:
    sequence = """(async () => {
      const socket = new WebSocket(`ws://${location.host}/ws`);
      const said = [];
      const hear = (type) => new Promise((done) => socket.addEventListener('message', (event) => {
        const body = JSON.parse(event.data); said.push(body.type); if (body.type === type) done(body); }));
      await new Promise((done) => { socket.onopen = done; });
      const listed = hear('avatars'); socket.send(JSON.stringify({type: 'get_avatars'}));
      const {avatars} = await listed;
      const chosen = hear('avatar_selected');
      socket.send(JSON.stringify({type: 'select_avatar', avatar_id: avatars[0].id}));
      await chosen;
      const stream = await navigator.mediaDevices.getUserMedia({audio: true, video: true});
      const pc = new RTCPeerConnection();
      const tracks = [];
      pc.ontrack = (event) => tracks.push(event.track.kind);
      pc.onicecandidate = (event) => event.candidate
        && socket.send(JSON.stringify({type: 'ice_candidate', candidate: event.candidate}));
      stream.getTracks().forEach((track) => pc.addTrack(track, stream));
      const answered = hear('answer');
      await pc.setLocalDescription(await pc.createOffer());
      socket.send(JSON.stringify({type: 'offer', sdp: pc.localDescription.sdp}));
      const {sdp} = await answered;
      await pc.setRemoteDescription(new RTCSessionDescription({type: 'answer', sdp}));
      const decoded = async () => [...(await pc.getStats()).values()]
        .filter((s) => s.type === 'inbound-rtp' && s.kind === 'video').map((s) => s.framesDecoded ?? 0)[0] ?? 0;
      const end = performance.now() + 8000;
      while (performance.now() < end && await decoded() < 50) await new Promise((done) => setTimeout(done, 100));
      const frames = await decoded();
      pc.close(); stream.getTracks().forEach((track) => track.stop()); socket.close();
      return {frames, tracks: tracks.sort(), fields: Object.keys(avatars[0]), said};
    })()"""
    async with visiting(tmp_path, speech, "mira") as (_, tab):
        seen = await tab.evaluate(sequence, 30)
        assert seen["frames"] >= 50, seen
        assert seen["tracks"] == ["audio", "video"]
        assert {"id", "name", "video_path"} <= set(seen["fields"])


async def test_page_is_served_with_a_strict_policy(tmp_path: Path) -> None:
    async with studio(tmp_path, config("robot")) as server, aiohttp.ClientSession() as http:
        async with http.get(server.http) as response:
            policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
