"""Numbers out of what arrived: pure functions of times, stamps and sizes. What was not measured is not assumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.beat import FPS
from studio.client.intake import Arrival, Intake

Floats = NDArray[np.float64]

FPS_LIMIT = 0.9 * FPS
FIRST_LIMIT_SECONDS = 3.0
INTERVAL_LIMIT_MS = 60.0
ROUGH = 5
"""Pictures or packets below which nothing is said about offsets."""
DRIFT_SECONDS = 2.0
"""A shorter stream says nothing of drift."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How a set of intervals is distributed, ms."""

    count: int
    mean: float
    median: float
    std: float
    """Of the sample (n - 1); 0 for a single one."""
    min: float
    max: float
    p95: float
    p99: float
    """Percentiles interpolate linearly between neighbours (Hyndman and Fan's seventh)."""


@dataclass(frozen=True, slots=True)
class Offset:
    """By how much pictures come, or are stamped, later than the sound they belong to, ms; negative: earlier."""

    method: str
    """What was compared, in words."""
    count: int
    mean: float
    median: float
    p95_abs: float
    max_abs: float
    drift_ms_per_minute: float | None
    """Slope over time, least squares; None for a short stream."""


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """No number, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One demand and whether it was met."""

    name: str
    passed: bool
    value: float | None
    limit: float
    text: str


@dataclass(frozen=True, slots=True)
class Rates:
    """Per whole second since the first picture."""

    fps: Sequence[float]
    kbps: Sequence[float]
    """Pictures and sound."""


def spread(intervals_ms: Floats) -> Spread | None:
    """Describe (n,) intervals; None for none."""
    if not len(intervals_ms):
        return None
    p95, p99 = np.percentile(intervals_ms, (95, 99))
    deviation = float(np.std(intervals_ms, ddof=1)) if len(intervals_ms) > 1 else 0.0
    return Spread(
        len(intervals_ms), float(np.mean(intervals_ms)), float(np.median(intervals_ms)), deviation,
        float(np.min(intervals_ms)), float(np.max(intervals_ms)), float(p95), float(p99),
    )  # fmt: skip


def intervals(pictures: Sequence[Arrival]) -> Floats:
    """Return the milliseconds between pictures, in the order of arrival, (n - 1,)."""
    return np.diff(np.array([one.at for one in pictures], np.float64)) * 1000


def frame_rate(pictures: Sequence[Arrival]) -> float | None:
    """Return pictures a second from the first to the last; None for fewer than two, or two at once."""
    span = pictures[-1].at - pictures[0].at if pictures else 0.0
    return (len(pictures) - 1) / span if span > 0 else None


def rates(pictures: Sequence[Arrival], sounds: Sequence[Arrival]) -> Rates:
    """Count by seconds since the first picture; the last, unfinished second is scaled up if it is half over."""
    if not pictures:
        return Rates((), ())
    began, span = pictures[0].at, pictures[-1].at - pictures[0].at
    whole = int(span)
    lengths = [1.0] * whole + ([span - whole] if span - whole >= 0.5 else [])
    count, size_bits = np.zeros(len(lengths)), np.zeros(len(lengths))
    for row, is_picture in ((pictures, True), (sounds, False)):
        for one in row:
            second = int(one.at - began) if one.at >= began else -1
            if 0 <= second < len(lengths) and one.at - began < second + lengths[second]:  # the end belongs to the next
                count[second] += is_picture
                size_bits[second] += 8 * one.size_bytes
    scale = np.array(lengths)
    return Rates([float(x) for x in count / scale], [float(x) for x in size_bits / scale / 1000])


def sender_clock(reports: Sequence[tuple[float, float]]) -> float | None:
    """Return NTP seconds minus RTP seconds, the median over all sender reports; None without any."""
    return float(np.median([ntp - stamp for ntp, stamp in reports])) if reports else None


def transit_offset(intake: Intake) -> Offset | Unmeasured:
    """Compare how long pictures and sounds travel, both stamps put on the sender's one clock by its reports.

    For each picture: (arrival - sender's time) of the picture minus that of the sound, interpolated at its arrival.
    Method: RFC 3550, 6.4.1 and appendix A.8: difference in relative transit times.
    """
    video, audio = (sender_clock(intake.reports[kind]) for kind in ("video", "audio"))
    if len(intake.sounds) < ROUGH or len(intake.pictures) < ROUGH:
        return Unmeasured("too little sound or too few pictures came")
    if video is None or audio is None:
        return Unmeasured("the server sent no sender report that ties the two clocks together")
    pictures_at = np.array([one.at for one in intake.pictures])
    pictures = pictures_at - (np.array([one.stamp for one in intake.pictures]) + video)
    sounds_at = np.array([one.at for one in intake.sounds])
    sounds = sounds_at - (np.array([one.stamp for one in intake.sounds]) + audio)
    order = np.argsort(sounds_at, kind="stable")
    inside = (pictures_at >= sounds_at.min()) & (pictures_at <= sounds_at.max())
    if inside.sum() < ROUGH:
        return Unmeasured("sound and pictures did not come at the same time")
    offsets = pictures[inside] - np.interp(pictures_at[inside], sounds_at[order], sounds[order])
    return offset("arrival of pictures against arrival of sound, on the sender's clock", pictures_at[inside], offsets)


def stamp_offset(pictures: Sequence[Arrival]) -> Offset | Unmeasured:
    """Compare each picture's stamp with its place in the recording; the median lateness counts as none.

    Sound is not sent with frames, and whoever plays them chooses when it starts: only deviations can be measured.
    """
    if len(pictures) < ROUGH:
        return Unmeasured("too few pictures came")
    stamps = np.array([one.stamp for one in pictures])
    places = np.array([one.number for one in pictures]) / FPS
    lateness = (stamps - stamps[0]) - (places - places[0])
    lateness -= np.median(lateness)
    return offset("stamps of pictures against their place in the sound", places - places[0], lateness)


def offset(method: str, times: Floats, offsets: Floats) -> Offset:
    """Describe (n,) offsets in seconds, measured at (n,) times in seconds."""
    late = offsets * 1000
    drift = None
    if float(np.ptp(times)) >= DRIFT_SECONDS:
        drift = 60 * float(np.polyfit(times - times[0], late, 1)[0])
    size = np.abs(late)
    return Offset(
        method, len(late), float(np.mean(late)), float(np.median(late)),
        float(np.percentile(size, 95)), float(size.max()), drift,
    )  # fmt: skip


def verdicts(fps: float | None, first: float | None, interval_ms: float | None) -> tuple[Verdict, ...]:
    """Judge; what could not be measured has not passed.

    Args:
        fps: Average pictures a second.
        first: Seconds from the request to the first picture.
        interval_ms: Mean time from one picture to the next.
    """
    return (
        _verdict("fps", "Pictures a second", fps, FPS_LIMIT, "", at_least=True),
        _verdict("first_frame", "First picture", first, FIRST_LIMIT_SECONDS, " s", at_least=False),
        _verdict("mean_interval", "Mean interval", interval_ms, INTERVAL_LIMIT_MS, " ms", at_least=False),
    )


def _verdict(name: str, title: str, value: float | None, limit: float, unit: str, *, at_least: bool) -> Verdict:
    asked = f"{'at least' if at_least else 'at most'} {limit:g}{unit}"
    if value is None:
        return Verdict(name, False, None, limit, f"{title}: not measured; wanted: {asked}.")
    passed = value >= limit if at_least else value <= limit
    decimals = 2 if unit == " s" else 1
    word = "good" if passed else "too few" if at_least else "too long"
    return Verdict(name, passed, value, limit, f"{title}: {value:.{decimals}f}{unit}, {word} ({asked}).")
