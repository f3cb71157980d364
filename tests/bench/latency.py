"""How long does it take until a sound is seen?

Server-side milliseconds from the arrival of a sound to the sending of the beat that shows it, for one visitor and for
four, all speaking, the server pinned to one core. Looked at twice:

inside: the studio's own histogram, ``studio_sound_to_beat_ms``: from the first packet of a beat's sound to the moment
    when its picture is encoded and handed to the network.
outside: one visitor is silent but for a buzz now and then, so that the avatar wakes from rest each time. From the
    sending of the first packet of a buzz to the arrival of the first packet of sound in which it is heard; sound leaves
    with the picture of its beat. To the packet: 20 ms of sound.

Usage: python -m tests.bench.latency [--json] [--seconds S] [--visitors 1,4]

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import av
import numpy as np
from aiortc.rtp import RtpPacket
from numpy.typing import NDArray

from studio.stats import percentile
from tests.bench.measure import chosen, configuration, labelled, machine, parser, part_cores, prepare, report
from tests.server import studio
from tests.visitor import PTIME, SpeechTrack, Visitor, install_loopback_and_counting, make_speech, opus_packets

RATE = 48_000
PACKET_TICKS = 960
BUZZ_PACKETS, PERIOD_PACKETS = 15, 85
"""300 ms every 1.7 s: no whole number of beats, so that a buzz begins in either half of one; and the take rests."""
HEARD = 0.05
"""Of the loudest packet's root mean square."""
INSIDE = ("sound_to_beat", "beat_lateness")
"""Histograms of the studio."""
LONGEST_SECONDS = 1.0
"""A buzz that is not heard by then is not counted, but said to be missing."""


def buzz() -> NDArray[np.int16]:
    """Return one period, (n,) at 48 kHz: harmonics of 140 Hz, falling by 6 dB an octave, then silence."""
    t = np.arange(int(BUZZ_PACKETS * PTIME * RATE)) / RATE
    wave = sum(np.sin(2 * np.pi * 140 * k * t) / k for k in range(1, 25))
    pcm = np.zeros(int(PERIOD_PACKETS * PTIME * RATE), np.int16)
    pcm[: len(t)] = 9000 * wave / np.abs(wave).max()
    return pcm


def opus_of(pcm: NDArray[np.int16]) -> list[bytes]:
    """Encode 48 kHz mono as 20 ms Opus packets without look-ahead to speak of."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format, codec.bit_rate = RATE, "mono", "s16", 48_000
    codec.options = {"application": "lowdelay", "frame_duration": "20"}
    packets: list[bytes] = []
    step = int(PTIME * RATE)
    for start in range(0, len(pcm), step):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + step], format="s16", layout="mono")
        frame.sample_rate = RATE
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


class Probe(Visitor):
    """Says a buzz now and then, notes when, and keeps each packet of sound that arrives, before any buffer."""

    def __init__(self, url: str, avatar: str) -> None:
        super().__init__(url, avatar, opus_of(buzz()))
        self.sent: list[float] = []
        """When a buzz began, `time.monotonic`."""
        self.arrived: list[tuple[int, float, bytes]] = []
        """RTP timestamp, arrival on `time.monotonic`, payload."""

    async def connect(self, limit: float = 15.0) -> None:
        """Connect, and tap what is sent and received."""
        await super().connect(limit)
        transceiver = next(t for t in self.pc.getTransceivers() if t.kind == "audio")
        track = transceiver.sender.track
        assert isinstance(track, SpeechTrack)
        speak, receive = track.recv, transceiver.receiver._handle_rtp_packet

        async def spoken() -> Any:
            packet = await speak()
            if packet.pts // PACKET_TICKS % PERIOD_PACKETS == 0:
                self.sent.append(time.monotonic())
            return packet

        async def received(packet: RtpPacket, arrival_time_ms: int) -> None:
            self.arrived.append((packet.timestamp, time.monotonic(), packet.payload))
            await receive(packet, arrival_time_ms)

        track.recv = spoken  # type: ignore[method-assign]
        transceiver.receiver._handle_rtp_packet = received  # type: ignore[method-assign]

    def latencies(self) -> tuple[list[float], int]:
        """Return milliseconds from each buzz's sending to its arrival, and how many never arrived."""
        loud = _loudness([payload for _, _, payload in sorted(self.arrived)])
        threshold = HEARD * max(loud, default=0.0)
        arrivals = [at for _, at, _ in sorted(self.arrived)]
        since = arrivals[0] if arrivals else float("inf")
        until = arrivals[-1] - LONGEST_SECONDS if arrivals else 0.0
        found, missing = [], 0
        for sent in self.sent:
            if not since < sent < until:
                continue
            times = (at for at, level in zip(arrivals, loud, strict=True) if at > sent and level > threshold)
            first = next(times, float("inf"))
            if first - sent < LONGEST_SECONDS:
                found.append((first - sent) * 1000)
            else:
                missing += 1
        return found, missing


def _loudness(payloads: Sequence[bytes]) -> list[float]:
    """Return the root mean square of each packet, in order."""
    codec = av.CodecContext.create("libopus", "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = RATE, "mono", "s16"
    levels = []
    for payload in payloads:
        frames = codec.decode(av.Packet(payload))
        pcm = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32)
        levels.append(float(np.sqrt(np.mean(pcm**2))))
    return levels


async def measure(folder: Path, options: argparse.Namespace, visitors: int) -> dict[str, Any]:
    """Measure with ``visitors`` that speak, one of them the probe, on a fresh server."""
    packets = opus_packets(make_speech(folder / "speech.wav"))
    async with studio(folder, configuration(chosen(options.avatar), options.cache), core=options.core) as server:
        probe = Probe(server.ws, options.avatar)
        talkers = [Visitor(server.ws, options.avatar, packets, start=137 * n) for n in range(1, visitors)]
        try:
            for visitor in (*talkers, probe):
                await visitor.connect()
            await asyncio.sleep(options.warm_up + options.seconds)
            metrics = await server.metrics()
        finally:
            await asyncio.gather(*(visitor.close() for visitor in (*talkers, probe)))
    found, missing = probe.latencies()
    quantiles = {name: labelled(metrics, f"studio_{name}_recent_ms", "quantile") for name in INSIDE}
    inside, lateness = (
        {f"p{float(q) * 100:g}": round(ms, 1) for q, ms in sorted(quantiles[n].items())} for n in INSIDE
    )
    outside = {f"p{100 * q:g}": round(percentile(found, q), 1) for q in (0.5, 0.95)}
    return {
        "visitors": visitors,
        "inside_ms": inside,
        "outside_ms": outside | {"buzzes": len(found), "missing": missing},
        "lateness_ms": lateness,
    }


async def run(options: argparse.Namespace, log: TextIO) -> dict[str, Any]:
    """Measure for each number of visitors."""
    install_loopback_and_counting()
    options.core = part_cores()
    runs = []
    with tempfile.TemporaryDirectory() as name:
        await prepare(Path(name), configuration(chosen(options.avatar), options.cache))
        for visitors in options.visitors:
            runs.append(await measure(Path(name), options, visitors))
            line = "{visitors} visitors: inside {inside_ms}, outside {outside_ms}, late {lateness_ms}"
            print(line.format(**runs[-1]), file=log)
    return {"machine": machine(), "seconds": options.seconds, "avatar": options.avatar, "runs": runs}


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=40.0, help="measured seconds a number of visitors (40)")
    options.add_argument("--warm-up", type=float, default=2.0, help="seconds before that (2)")
    options.add_argument("--visitors", type=_numbers, default=[1, 4], help="numbers of visitors (1,4)")
    return options.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(report(run, parse()))
