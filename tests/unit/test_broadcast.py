from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import numpy as np
import pytest
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from studio.audio import SILENCE
from studio.beat import Beat
from studio.broadcast import JOIN_GAP, LOSS_GAP, Broadcast, Keyframes, Viewer
from studio.encode import Encoded
from studio.outlet import PacketTrack
from studio.spec import MediaSpec, StudioSpec
from studio.stats import Stats
from tests.fakes import until

VP8 = RTCRtpCodecParameters("video/VP8", 90_000, payloadType=96)
H264 = RTCRtpCodecParameters(
    "video/H264", 90_000, payloadType=97, parameters={"packetization-mode": "1", "profile-level-id": "42e01f"}
)
OPUS = RTCRtpCodecParameters("audio/opus", 48_000, 2, payloadType=111)


def beat(index: int) -> Beat:
    noise = np.random.default_rng(index).integers(16, 235, (96, 64), np.uint8)
    return Beat(index, noise, SILENCE, True)


class Show:
    """A broadcast that encodes, beat by beat."""

    def __init__(self) -> None:
        self.stats = Stats()
        self.output = Broadcast(MediaSpec(), self.stats)
        self.slot = 0

    def track(self, *codecs: RTCRtpCodecParameters) -> PacketTrack:
        """Return a track that gets a codec from now on."""
        (codec,) = codecs
        track = PacketTrack(codec.mimeType.partition("/")[0], self.stats)
        self.output.join(codec, track)
        return track

    async def send(self, count: int, *watching: PacketTrack) -> None:
        """Release beats, each when the one before it has arrived."""
        for _ in range(count):
            before = [len(track._queue) for track in watching]
            self.output.send(self.slot, beat(self.slot))
            self.slot += 1
            await until(lambda before=before: all(len(t._queue) > n for t, n in zip(watching, before, strict=True)))


@pytest.fixture
async def show() -> AsyncIterator[Show]:
    made = Show()
    task = asyncio.create_task(made.output.encode())
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await made.output.aclose()


def packets(track: PacketTrack) -> list[Encoded]:
    return [encoded for _, encoded in track._queue]


def test_keyframes_asked_for_by_many_are_made_once() -> None:
    keyframes = Keyframes()
    assert not keyframes.is_due(0.0), "nobody asks"
    for _ in range(100):
        keyframes.ask(JOIN_GAP)
    assert keyframes.is_due(0.0), "the first at once"
    keyframes.made(0.0)
    assert not keyframes.is_due(99.0)


@pytest.mark.parametrize(("asked", "gap"), [([JOIN_GAP], JOIN_GAP), ([LOSS_GAP], LOSS_GAP)])
def test_keyframes_keep_their_distance(asked: list[float], gap: float) -> None:
    keyframes = Keyframes()
    keyframes.made(10.0)
    for one in asked:
        keyframes.ask(one)
    assert not keyframes.is_due(10.0 + 0.99 * gap) and keyframes.is_due(10.0 + 1.01 * gap)


def test_newcomer_hurries_those_who_wait_because_of_losses() -> None:
    keyframes = Keyframes()
    keyframes.made(10.0)
    keyframes.ask(LOSS_GAP)
    keyframes.ask(JOIN_GAP)
    assert keyframes.is_due(10.0 + 1.01 * JOIN_GAP)


def test_storm_of_requests_makes_one_keyframe_a_second() -> None:
    keyframes, made = Keyframes(), 0
    for slot in range(250):
        keyframes.ask(LOSS_GAP)
        if keyframes.is_due(slot * 0.04):
            keyframes.made(slot * 0.04)
            made += 1
    assert made == 10


async def test_all_viewers_get_what_was_encoded_once(show: Show) -> None:
    pictures, sounds = [show.track(VP8) for _ in range(8)], [show.track(OPUS) for _ in range(8)]
    assert set(show.output.codecs) == {"video/vp8", "audio/opus"}
    await show.send(3, *pictures)
    for tracks, expected in ((pictures, [0, 3600, 7200]), (sounds, [0, 960, 1920, 2880, 3840, 4800])):
        first = packets(tracks[0])
        assert [one.timestamp for one in first] == expected
        for track in tracks[1:]:
            assert all(a is b for a, b in zip(packets(track), first, strict=True)), "the very same packets"


async def test_each_codec_is_encoded_while_somebody_wants_it(show: Show) -> None:
    first, second, other = show.track(VP8), show.track(VP8), show.track(H264)
    await show.send(2, first, other)
    assert packets(first)[0] is packets(second)[0] and packets(first)[0] is not packets(other)[0]
    show.output.part(first)
    show.output.part(first)
    assert set(show.output.codecs) == {"video/vp8", "video/h264"}
    show.output.part(second)
    assert set(show.output.codecs) == {"video/h264"}
    show.output.part(other)
    assert not show.output.codecs
    show.output.send(99, beat(0))
    assert not show.output._released, "nothing is encoded for nobody"


async def test_late_viewer_begins_with_a_keyframe_that_is_made_for_it(
    show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = clock(monkeypatch)
    first = show.track(VP8)
    await show.send(3, first)
    assert [one.is_keyframe for one in packets(first)] == [True, False, False]
    now(0.1)
    late = show.track(VP8)
    await show.send(2, first)
    assert not packets(late), "the last keyframe is 100 ms old: not yet another"
    now(JOIN_GAP)
    await show.send(2, first, late)
    assert [one.is_keyframe for one in packets(late)] == [True, False]
    assert sum(one.is_keyframe for one in packets(first)) == 2


def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let keyframes be counted on a clock that stands still; return what moves it on."""
    seconds = [100.0]
    monkeypatch.setattr("studio.broadcast.time.monotonic", lambda: seconds[0])

    def move(by: float) -> None:
        seconds[0] += by

    return move


async def test_viewer_enters_and_leaves() -> None:
    stats, output = Stats(), Broadcast(MediaSpec(), Stats())
    one, other = (Viewer(output, StudioSpec(()), stats) for _ in range(2))
    assert output.viewers == 2 and not output.was_watched
    await one.aclose()
    assert output.viewers == 1
    await asyncio.wait_for(output.watched(), 1)
    leaving = asyncio.create_task(output.watched(False))
    await asyncio.sleep(0)
    assert not leaving.done()
    await other.aclose()
    await asyncio.wait_for(leaving, 1)


async def test_end_closes_every_viewer_and_wakes_who_waits() -> None:
    output = Broadcast(MediaSpec(), Stats())
    viewers = [Viewer(output, StudioSpec(()), Stats()) for _ in range(3)]
    waiting = asyncio.create_task(output.until("failed", "closed"))
    await asyncio.sleep(0)
    assert output.state == "connected" and not waiting.done()
    await output.aclose()
    await output.aclose()
    assert await asyncio.wait_for(waiting, 1) == "closed"
    assert [viewer.state for viewer in viewers] == ["closed"] * 3 and not output.viewers
    await asyncio.wait_for(output.watched(), 1)
