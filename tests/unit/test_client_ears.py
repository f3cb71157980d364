"""Packets become pictures and sounds in the order of their arrival, whatever the sender's counters do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from aiortc import RTCPeerConnection
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from studio.client.ears import SoundEar, Timeline, VideoEar, Witness
from studio.client.intake import Intake
from studio.client.screen import Screen
from tests.unit.test_client_screen import encoded

VP8 = RTCRtpCodecParameters("video/VP8", 90_000, payloadType=96)
PCMU = RTCRtpCodecParameters("audio/PCMU", 8000, 1, payloadType=0)


class Line:
    """Two ears of a connection that is never made, a clock, and what they tell."""

    def __init__(self, pc: RTCPeerConnection) -> None:
        self.now = 100.0
        self.ended: list[str] = []
        self.intake, self.screen = Intake(clock=lambda: self.now), Screen()
        video, audio = pc.addTransceiver("video"), pc.addTransceiver("audio")
        video._codecs, audio._codecs = [VP8], [PCMU]
        witness = Witness(self.intake, self.screen, Timeline())
        self.video = VideoEar(video, witness, lambda: self.ended.append("video"))
        self.audio = SoundEar(audio, witness, lambda: self.ended.append("audio"))

    def picture(self, sequence: int, timestamp: int, data: bytes = b"part", payload: bytes = b"x" * 100) -> bool:
        """Bring a packet of a picture; return whether a whole one is asked for."""
        packet = RtpPacket(payload_type=96, sequence_number=sequence % 65_536, timestamp=timestamp % 2**32)
        packet.payload = payload
        packet._data = data  # type: ignore[attr-defined]  # as aiortc does
        return self.video.add(packet)[0]


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    pc = RTCPeerConnection()
    one = Line(pc)
    yield one
    one.screen.close()
    await pc.close()


async def test_a_picture_has_arrived_with_its_last_packet(line: Line) -> None:
    for sequence, timestamp in ((65_534, 2**32 - 3600), (65_535, 2**32 - 3600), (65_536, 0), (65_537, 0)):
        line.now += 0.01
        line.picture(sequence, timestamp)
    first, second = line.intake.pictures
    assert (first.size_bytes, second.size_bytes) == (200, 200)
    assert (first.at, second.at) == pytest.approx((100.02, 100.04))
    assert second.stamp - first.stamp == pytest.approx(0.04)
    assert (line.intake.packets, line.intake.lost) == (4, 0)


async def test_what_is_missing_is_lost_until_it_comes(line: Line) -> None:
    for sequence in (1, 2, 5):
        line.picture(sequence, 3600 * sequence)
    assert line.intake.lost == 2
    line.picture(3, 3 * 3600)
    assert line.intake.lost == 1
    assert len(line.intake.pictures) == 3  # what comes late is no further picture


async def test_whole_pictures_are_decoded_and_damage_asks_for_a_new_one(line: Line) -> None:
    packets = encoded("libvpx", 64, 3)
    for i, data in enumerate([*packets, b"\xff" * 9, b"end"]):
        line.picture(i, 3600 * i, data)
    line.screen.close()
    assert (line.screen.decoded, line.screen.damaged, line.intake.codec) == (3, 1, "VP8")
    assert line.picture(9, 3600 * 9)
    assert not line.picture(10, 3600 * 10, b"", b"")


async def test_a_flood_ends_the_track(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.client.intake.MAX_PICTURES", 5)
    for i in range(9):
        line.picture(i, 3600 * i)
    assert line.ended[0] == "video"
    assert len(line.intake.pictures) == 5


async def test_goodbyes_are_told(line: Line) -> None:
    line.video.put(None)
    line.audio.put(None)
    assert line.ended == ["video", "audio"]


async def test_sound_is_noted_and_heard(line: Line) -> None:
    for i in range(10):
        line.now += 0.02
        packet = RtpPacket(payload_type=0, sequence_number=i, timestamp=160 * i)
        packet.payload = bytes([0xFF - i] * 160)
        line.audio.add(packet)
    line.audio.add(RtpPacket(payload_type=77, sequence_number=10, timestamp=1))
    line.screen.close()
    assert [one.stamp for one in line.intake.sounds[:2]] == pytest.approx([0.0, 0.02])
    assert len(line.screen.sound) == pytest.approx(3200, abs=40)
    assert line.screen.sound.dtype == np.int16


async def test_sender_reports_tie_the_clocks(line: Line) -> None:
    report: Any = type("Report", (), {"sender_info": type("Info", (), {"ntp_timestamp": (4_000_000_000 << 32) + 2**31,
                                                                         "rtp_timestamp": 90_000})})  # fmt: skip
    line.video._report(report)
    assert line.intake.reports["video"] == [(4_000_000_000.5, 1.0)]
