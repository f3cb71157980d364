"""One measurement in words, for a terminal; the report has the same rows."""

from __future__ import annotations

from collections.abc import Sequence

from studio.client.figures import Unmeasured
from studio.client.order import Outcome
from studio.client.result import Result


def rows(result: Result) -> list[tuple[str, str]]:
    """Return names and values, in the order in which they are shown."""
    return [
        ("Outcome", outcome(result)),
        ("Pictures", pictures(result)),
        ("Duration", f"{result.duration:.2f} s"),
        ("First picture", number(result.first_frame, 2, " s after the request") + before(result)),
        ("Average", number(result.fps, 2, " pictures a second")),
        ("Received", received(result)),
        ("Bandwidth", number(result.bandwidth_bps and result.bandwidth_bps / 1000, 0, " kbit/s")),
        ("Intervals", intervals(result)),
        ("A/V offset", offset(result)),
        ("Lips and sound", lips(result)),
    ]


def number(value: float | None, decimals: int, unit: str) -> str:
    """Return a number in words."""
    return "not measured" if value is None else f"{value:.{decimals}f}{unit}"


def outcome(result: Result) -> str:
    """Return how it ended."""
    words = {
        Outcome.COMPLETED: "the stream came to its end",
        Outcome.TIMEOUT: "",
        Outcome.STALLED: "stalled: ",
        Outcome.LOST: "broken off: ",
        Outcome.INTERRUPTED: "",
    }
    return words[result.outcome] + result.reason


def pictures(result: Result) -> str:
    """Return how many came, and what they are."""
    expected = "" if result.expected is None else f" of {result.expected} expected"
    if result.expected is not None and result.frames > result.expected:  # WebRTC: a face at rest before and after
        expected = f", {result.expected} of them of the recording"
    size = f", {result.width} × {result.height} {result.codec}" if result.decoded else ""
    wrong = [(result.broken, "senseless"), (result.damaged, "damaged"), (result.left_out, "not decoded in time")]
    marks = "".join(f", {count} {word}" for count, word in wrong if count)
    lost = f", {result.lost} of {result.packets + result.lost} packets lost" if result.lost else ""
    return f"{result.frames}{expected}{size}{marks}{lost}"


def before(result: Result) -> str:
    """Return what happened before the request, or within it."""
    names = {"upload": "upload", "prepare": "preparation", "connect": "connection"}
    said = [f"{name} {result.timings[key]:.2f} s" for key, name in names.items() if key in result.timings]
    return f" ({', '.join(said)})" if said else ""


def received(result: Result) -> str:
    """Return the bytes."""
    sound = f", of which {result.audio_bytes / 1e3:.0f} kB sound" if result.audio_bytes else ""
    return f"{result.total_bytes / 1e6:.2f} MB{sound}"


def intervals(result: Result) -> str:
    """Return how pictures followed each other."""
    one = result.intervals
    if one is None:
        return "not measured: a single picture has none"
    return (
        f"{one.count}; mean {one.mean:.1f}, median {one.median:.1f}, std {one.std:.1f}, min {one.min:.1f},"
        f" max {one.max:.1f}, p95 {one.p95:.1f}, p99 {one.p99:.1f} ms"
    )


def offset(result: Result) -> str:
    """Return how the picture's times follow the sound's."""
    one = result.offset
    if isinstance(one, Unmeasured):
        return f"not measured: {one.reason}"
    drift = "" if one.drift_ms_per_minute is None else f", drift {one.drift_ms_per_minute:+.1f} ms a minute"
    return f"mean {one.mean:+.1f}, p95 {one.p95_abs:.1f}, most {one.max_abs:.1f} ms{drift} ({one.method})"


def lips(result: Result) -> str:
    """Return how the lips follow the sound."""
    one = result.lips
    if isinstance(one, Unmeasured):
        return f"not measured: {one.reason}"
    shifted = "the highest of all shifts"
    if one.lag_ms:
        late = one.lag_ms > 0
        shifted = f"{one.best_r:.2f} if they came {abs(one.lag_ms):.0f} ms {'earlier' if late else 'later'}"
    return f"r {one.r:.2f} as received, {shifted} ({one.pictures} pictures)"


def remarks(result: Result, complaint: str) -> Sequence[str]:
    """Return what else should be known: the server's words, and what could not be kept."""
    return [*(f"The server says: {one}" for one in result.remarks), *([complaint] if complaint else [])]
