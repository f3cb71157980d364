"""Pages that others wrote for other servers, in a real Chromium: what they do is here in our words, step by step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from studio.web.keys import HOST, STATS
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.tab import Tab
from tests.conftest import need
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.integration.conftest import soon
from tests.unit.test_recording import wav

pytestmark = pytest.mark.browser

RECORDER = """(mime) => {
  const seen = window.seen = {frames: 0, sides: [], other: []};
  window.leave = () => { window.recorder.stop(); window.socket.close(); };
  return navigator.mediaDevices.getUserMedia({audio: true}).then((stream) => {
    const socket = window.socket = new WebSocket(`ws://${location.host}/ws`);
    socket.onopen = () => socket.send(JSON.stringify({type: 'start', source_path: 'static/avatars/astronaut.png'}));
    socket.onmessage = ({data}) => {
      const message = JSON.parse(data);
      if (message.type !== 'frame') return seen.other.push(message);
      seen.frames++;
      const picture = new Image();
      picture.onload = () => { seen.sides = [picture.width, picture.height]; };
      picture.src = 'data:image/jpeg;base64,' + message.data;
    };
    const recorder = window.recorder = new MediaRecorder(stream, {mimeType: mime});
    recorder.ondataavailable = ({data}) => {
      if (data.size && socket.readyState === WebSocket.OPEN) data.arrayBuffer().then((bytes) => socket.send(bytes));
    };
    recorder.start(200);
    return recorder.mimeType;
  });
}"""
"""The microphone page of ditto's streaming service."""
DEMO = """async (wish) => {
  const pc = window.pc = new RTCPeerConnection();
  const stream = new MediaStream();
  const video = Object.assign(document.createElement('video'), {autoplay: true, muted: true, srcObject: stream});
  document.body.append(video);
  window.kinds = [];
  pc.ontrack = ({track}) => { stream.addTrack(track); window.kinds.push(track.kind); };
  for (const kind of ['video', 'audio']) pc.addTransceiver(kind, {direction: 'recvonly'});
  await pc.setLocalDescription(await pc.createOffer());
  const {sdp, type} = pc.localDescription;
  const answer = await fetch('/webrtc/offer', {method: 'POST', headers: {'Content-Type': 'application/json'},
    body: JSON.stringify({sdp, type, ...wish})});
  await pc.setRemoteDescription(await answer.json());
  return sdp.includes('a=candidate');
}"""
"""The demo's page of ditto-container: it does not wait for candidates, and sends none later."""


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    if find_chromium() is None:
        need("chromium", "chromium")
    async with inside(spec_of(tmp_path, sessions=4)) as one:
        yield one


@pytest.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Chromium]:
    voice = wav(tmp_path / "voice.wav", np.repeat(speech(20.0), 3), rate=48_000)  # as Chromium wants it
    async with Chromium.launch(speech=voice) as one:
        yield one


async def opened(browser: Chromium, studio: Inside) -> Tab:
    return await browser.open(studio.url("/static/studio.css"))


async def called(tab: Tab, function: str, argument: str) -> Any:
    return await tab.evaluate(f"({function})({argument})")


@pytest.mark.parametrize("mime", ["audio/webm;codecs=pcm", "audio/webm;codecs=opus"])
async def test_microphone_page_sees_who_speaks(studio: Inside, browser: Chromium, mime: str) -> None:
    tab = await opened(browser, studio)
    assert await called(tab, RECORDER, repr(mime)) == mime
    await soon(lambda: studio.app[STATS].value("studio_beats_total", kind="speech") >= 25, limit=15)
    await tab.wait_for("seen.frames >= 25 && seen.sides.length", 10)
    assert await tab.evaluate("seen.other") == [] and await tab.evaluate("seen.sides") == [512, 512]
    await tab.evaluate("leave()")
    assert await studio.is_empty()


async def test_demo_page_that_sends_no_candidates_sees_and_hears(
    studio: Inside, browser: Chromium, tmp_path: Path
) -> None:
    form = aiohttp.FormData({"audio": wav(tmp_path / "talk.wav", speech(2.0)).open("rb")})
    async with studio.client.post(studio.url("/upload"), data=form) as answer:
        path = (await answer.json())["audio_path"]
    tab = await opened(browser, studio)
    wish = f"{{audio_path: {path!r}, source_path: 'static/avatars/astronaut.png', engine: 'testcard', setup_kwargs: "
    wish += "{sampling_timesteps: 12, online_mode: true}, run_kwargs: {frame_scale: 0.5}}"
    had_candidates = await called(tab, DEMO, wish)
    assert not had_candidates
    await tab.wait_for("document.querySelector('video').videoWidth === 256", 10)
    assert sorted(await tab.evaluate("kinds")) == ["audio", "video"]
    async with asyncio.timeout(20):
        assert await studio.is_empty(limit=15)
    assert not studio.app[HOST]._visitors
