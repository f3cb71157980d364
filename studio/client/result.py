"""Everything that one measurement found, as one value; as JSON with stable keys (`FORMAT` counts their changes)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

import studio
from studio.beat import FPS
from studio.client import figures
from studio.client.figures import Offset, Rates, Spread, Unmeasured, Verdict
from studio.client.intake import Intake
from studio.client.lips import Lips
from studio.client.order import Order, Outcome
from studio.client.screen import Screen

FORMAT = 1
PASSED, FAILED, COULD_NOT, ENDED_EARLY, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement."""

    order: Order
    started: datetime
    outcome: Outcome
    reason: str
    """Why it ended early; empty otherwise."""
    remarks: Sequence[str]
    """What the server said."""
    frames: int
    expected: int | None
    broken: int
    decoded: int
    damaged: int
    left_out: int
    """Pictures that this machine was too slow to decode; they count all the same."""
    saved: int
    width: int
    height: int
    codec: str
    packets: int
    lost: int
    duration: float
    """Seconds from the first picture to the last."""
    first_frame: float | None
    """Seconds from the request to the first picture."""
    timings: dict[str, float]
    fps: float | None
    video_bytes: int
    audio_bytes: int
    intervals: Spread | None
    intervals_ms: Sequence[float]
    """All of them."""
    rates: Rates
    offset: Offset | Unmeasured
    lips: Lips | Unmeasured
    verdicts: Sequence[Verdict]

    @property
    def total_bytes(self) -> int:
        """Pictures and sound, without what the network adds."""
        return self.video_bytes + self.audio_bytes

    @property
    def bandwidth_bps(self) -> float | None:
        """Bits a second, averaged; None for a single picture."""
        return 8 * self.total_bytes / self.duration if self.duration > 0 else None

    @property
    def passed(self) -> bool:
        """Every verdict is good."""
        return all(verdict.passed for verdict in self.verdicts)

    @property
    def exit_code(self) -> int:
        """0 all verdicts good, 1 one is not, 3 the stream ended early, 130 Ctrl-C; 2 is for no measurement at all."""
        if self.outcome is Outcome.INTERRUPTED:
            return INTERRUPTED
        if self.outcome in (Outcome.LOST, Outcome.STALLED):
            return ENDED_EARLY
        return PASSED if self.passed else FAILED

    def as_json(self) -> dict[str, object]:
        """Return what ``--json`` writes; numbers that could not be measured are null, with a reason beside."""
        return {
            "format": FORMAT,
            "client": f"avatar-studio {studio.__version__}",
            "started": self.started.isoformat(timespec="seconds"),
            "server": self.order.server,
            "transport": self.order.transport,
            "client_id": self.order.client_id,
            "avatar": self.order.avatar or None,
            "audio": self.order.audio or None,
            "source": self.order.source or None,
            "outcome": str(self.outcome),
            "reason": self.reason or None,
            "remarks": list(self.remarks),
            "frames": {
                "received": self.frames, "expected": self.expected, "broken": self.broken, "decoded": self.decoded,
                "damaged": self.damaged, "not_decoded": self.left_out, "saved": self.saved, "codec": self.codec or None,
                "width": self.width, "height": self.height,
            },
            "packets": {"received": self.packets, "lost": self.lost} if self.packets else None,
            "duration_s": _rounded(self.duration),
            "time_to_first_frame_s": _rounded(self.first_frame),
            "timings_s": {name: _rounded(self.timings.get(name)) for name in ("upload", "prepare", "connect")},
            "fps": {"average": _rounded(self.fps), "nominal": FPS},
            "bytes": {"total": self.total_bytes, "video": self.video_bytes, "audio": self.audio_bytes},
            "bandwidth_kbps": _rounded(self.bandwidth_bps and self.bandwidth_bps / 1000),
            "intervals_ms": _plain(self.intervals),
            "av_offset_ms": _plain(self.offset),
            "lips": _plain(self.lips),
            "per_second": {"fps": [*map(_rounded, self.rates.fps)], "kbps": [*map(_rounded, self.rates.kbps)]},
            "verdicts": [_plain(verdict) for verdict in self.verdicts],
            "passed": self.passed,
            "exit_code": self.exit_code,
        }  # fmt: skip


def conclude(order: Order, intake: Intake, screen: Screen, lips: Lips | Unmeasured, started: datetime) -> Result:
    """Make a result of what arrived."""
    pictures, sounds = intake.pictures, intake.sounds
    between = figures.intervals(pictures)
    spread = figures.spread(between)
    fps = figures.frame_rate(pictures)
    first = pictures[0].at - intake.asked_at if pictures else None
    offset = figures.transit_offset(intake) if order.transport == "webrtc" else figures.stamp_offset(pictures)
    return Result(
        order=order,
        started=started,
        outcome=intake.outcome,
        reason=intake.reason,
        remarks=tuple(intake.remarks),
        frames=len(pictures),
        expected=intake.expected,
        broken=intake.broken,
        decoded=screen.decoded,
        damaged=screen.damaged,
        left_out=screen.left_out,
        saved=screen.saved,
        width=screen.size[0],
        height=screen.size[1],
        codec=intake.codec,
        packets=intake.packets,
        lost=intake.lost,
        duration=pictures[-1].at - pictures[0].at if pictures else 0.0,
        first_frame=first,
        timings=dict(intake.timings),
        fps=fps,
        video_bytes=sum(one.size_bytes for one in pictures),
        audio_bytes=sum(one.size_bytes for one in sounds),
        intervals=spread,
        intervals_ms=[float(one) for one in between],
        rates=figures.rates(pictures, sounds),
        offset=offset,
        lips=lips,
        verdicts=figures.verdicts(fps, first, spread.mean if spread else None),
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 3)


def _plain(value: Spread | Offset | Lips | Verdict | Unmeasured | None) -> dict[str, object] | None:
    """Return a dataclass as JSON: an `Unmeasured` as its reason alone, numbers with three decimals."""
    if value is None:
        return None
    fields = dataclasses.asdict(value)
    return {name: _rounded(one) if isinstance(one, float) else one for name, one in fields.items()}
