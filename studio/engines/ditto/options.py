"""Every option of Ditto's setup: their meaning, their legal values, and how checkpoint, avatar and visit combine.

Names and defaults are upstream's; a checkpoint brings defaults of its own, an avatar's ``options`` win over those and a
visit's over both. Two words are ours: ``latency`` and ``preset``. Specification: section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from studio.engines.ditto import values
from studio.engines.ditto.condition import emotion_rows
from studio.engines.ditto.types import Floats, Reference
from studio.engines.runtime import RUNTIMES
from studio.errors import ConfigError
from studio.spec import FRAME_SCALE

Controls = Mapping[str, object]
"""Per-frame controls by name: ``delta_pitch`` (degrees), ``alpha_yaw``, ``vad_alpha``, ``delta_exp``, ``fade_alpha``,
``fade_out_keys``; checked by `values.controls`."""

LATENCIES: Mapping[str, int] = {"released": 70, "low": 75, "lowest": 79}
"""``latency`` -> frames that windows overlap: first picture after 920, 520 or 360 ms of sound."""
PRESETS: Mapping[str, int] = {"quality": 15, "latency": 10}
"""``preset`` -> sampling steps."""
SHORTEST_OVERLAP = 40
"""Live: with less, a window's blend would reach into pictures that have left."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """Setup options, all valid; defaults are upstream's code's, not a checkpoint's."""

    online_mode: bool = False
    max_size: int = 1920
    """Longest side of the frame in pixels; 0 or less: as it is."""
    template_n_frames: int = -1
    """Frames of a template video that are read; -1: all."""
    crop_scale: float = 2.3
    crop_vx_ratio: float = 0.0
    """Accepted and without effect, as upstream."""
    crop_vy_ratio: float = -0.125
    crop_flag_do_rot: bool = True
    smo_k_s: int = 13
    """Frames over which the motions of a template video are averaged."""
    emo: Floats = field(default_factory=lambda: emotion_rows(4))
    """(m, 8) emotions, used in turn."""
    eye_f0_mode: bool = False
    """Eyes of the first frame for ever."""
    ch_info: Reference | None = None
    """The person whom the diffusion network sees; None: the avatar itself."""
    overlap_v2: int = 10
    """Frames that windows of 80 share, 0..79."""
    fix_kp_cond: int = 0
    """Windows after which the start motion returns to the first one; 0: never."""
    fix_kp_cond_dim: tuple[int, int] | None = None
    """Numbers of a motion vector that are carried over even then."""
    sampling_timesteps: int = 50
    v_min_max_for_clip: Floats | None = None
    """(>= 2, 265): minimum and maximum of a motion vector on the way out."""
    smo_k_d: int = 3
    """Frames over which pose and position are averaged."""
    N_d: int = -1
    """Output frames, as far as known at setup; limits a video's frames as well, as upstream."""
    use_d_keys: Mapping[str, float] | tuple[str, ...] | None = None
    """Driven keys, or driven keys with weights; None: by kind of source."""
    relative_d: bool = True
    drive_eye: bool | None = None
    """None: True for a picture."""
    delta_eye_arr: Floats | None = None
    """(b, 63): a blink, as additions to ``exp``."""
    delta_eye_open_n: int | tuple[int, ...] = 0
    """Frames between blinks: -1 none, 0 random, a number, or numbers in turn."""
    fade_type: str = ""
    """Empty, ``d0`` or ``s``."""
    fade_out_keys: tuple[str, ...] = ("exp",)
    flag_stitching: bool = True
    overall_ctrl_info: Controls = field(default_factory=dict)


READERS: Mapping[str, values.Reader] = {
    "online_mode": values.truth,
    "max_size": values.whole(-1, 8192),
    "template_n_frames": values.whole(-1, 100_000),
    "crop_scale": values.number(1.0, 10.0),
    "crop_vx_ratio": values.number(-1.0, 1.0),
    "crop_vy_ratio": values.number(-1.0, 1.0),
    "crop_flag_do_rot": values.truth,
    "smo_k_s": values.whole(0, 1000),
    "emo": values.emotions,
    "eye_f0_mode": values.truth,
    "ch_info": values.optional(values.person),
    "overlap_v2": values.whole(0, 79),
    "fix_kp_cond": values.whole(0, 1_000_000),
    "fix_kp_cond_dim": values.optional(values.dimensions),
    "sampling_timesteps": values.whole(1, 1000),
    "v_min_max_for_clip": values.optional(values.limits),
    "smo_k_d": values.whole(0, 80),
    "N_d": values.whole(-1, 10_000_000),
    "use_d_keys": values.optional(values.driven_keys),
    "relative_d": values.truth,
    "drive_eye": values.optional(values.truth),
    "delta_eye_arr": values.optional(values.blink),
    "delta_eye_open_n": values.gaps,
    "fade_type": values.one_of("", "d0", "s"),
    "fade_out_keys": values.keys,
    "flag_stitching": values.truth,
    "overall_ctrl_info": values.controls,
}
"""Name of each option -> what turns a foreign value into ours, or says what is allowed."""

OF_SOURCE = frozenset(
    (
        "max_size", "template_n_frames", "crop_scale", "crop_vx_ratio", "crop_vy_ratio", "crop_flag_do_rot", "smo_k_s",
        "N_d",
    )
)  # fmt: skip
"""Options of the preparation: a visit cannot change them."""
_OURS: Mapping[str, values.Reader] = {"latency": values.one_of(*LATENCIES), "preset": values.one_of(*PRESETS)}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Options as somebody wrote them: the engine's own, and the rest, which is upstream's setup."""

    pipeline: Mapping[str, object]
    """For `checked`."""
    checkpoint: str = "checkpoints"
    """Folder of ``ditto_cfg`` and ``ditto_onnx``."""
    runtime: str = "auto"
    """One of ``runtime.RUNTIMES``, or ``auto``."""
    detector: str = "auto"
    """Who finds the first face, see `finder`."""
    fade_in: int = 0
    """Frames over which a film's motion fades in, and out."""
    fade_out: int = 0
    frame_scale: float = 1.0
    """Of the frame's sides, as browsers get it: the host's business, see `FRAME_SCALE`; here it is only judged."""

    @property
    def offline(self) -> Mapping[str, object]:
        """The rest, for the offline way, which knows no latency."""
        return {name: value for name, value in self.pipeline.items() if name not in ("latency", "online_mode")}


_OWN: Mapping[str, values.Reader] = {
    "checkpoint": values.text,
    "runtime": values.one_of("auto", *RUNTIMES),
    "detector": values.one_of("auto", "insightface", "own"),
    "fade_in": values.whole(0, 100_000),
    "fade_out": values.whole(0, 100_000),
    FRAME_SCALE: values.number(0.1, 1.0),
}


def chosen(options: Mapping[str, object]) -> Chosen:
    """Return an avatar's or a visit's options, the engine's own checked.

    Raises:
        ConfigError: One of them has an illegal value.
    """
    own = _read({name: value for name, value in options.items() if name in _OWN}, _OWN)
    return Chosen({name: value for name, value in options.items() if name not in _OWN}, **own)  # type: ignore[arg-type]


def _read(options: Mapping[str, object], readers: Mapping[str, values.Reader]) -> dict[str, object]:
    given: dict[str, object] = {}
    for name, value in options.items():
        if name not in readers:
            known = ", ".join(sorted((*readers, *_OWN)))
            raise ConfigError(f"The ditto engine has no option {name[:40]!r}; it has {known}.")
        try:
            given[name] = readers[name](value)
        except ValueError as error:
            raise ConfigError(f"Ditto's option {name} is {error}, not {_shown(value)}.") from error
    return given


def checked(options: Mapping[str, object]) -> dict[str, object]:
    """Return upstream's options for what somebody gave, each value valid; ``latency`` and ``preset`` are resolved.

    Raises:
        ConfigError: There is no such option, or a value is illegal; the sentence says what is allowed.
    """
    given = _read(options, {**READERS, **_OURS})
    if isinstance(latency := given.pop("latency", None), str):
        given.setdefault("overlap_v2", LATENCIES[latency])
    if isinstance(preset := given.pop("preset", None), str):
        given.setdefault("sampling_timesteps", PRESETS[preset])
    return given


def setup_of(*layers: Mapping[str, object]) -> Setup:
    """Return the setup that results from layers of options, the later ones winning.

    Raises:
        ConfigError: An option is unknown or illegal.
    """
    return changed(Setup(), *layers)


def changed(setup: Setup, *layers: Mapping[str, object]) -> Setup:
    """Return ``setup`` with layers of options over it; a key that is present wins, ``None`` included.

    Raises:
        ConfigError: An option is unknown or illegal.
    """
    for layer in layers:
        setup = replace(setup, **checked(layer))  # type: ignore[arg-type]  # the readers give each field its type
    return setup


def live(setup: Setup) -> Setup:
    """Return ``setup`` for sound that goes on.

    Raises:
        ConfigError: Windows overlap too little for that.
    """
    if setup.overlap_v2 < SHORTEST_OVERLAP:
        raise ConfigError(
            f"Ditto's option overlap_v2 is at least {SHORTEST_OVERLAP} for a live avatar, not {setup.overlap_v2}; "
            f"latency: {', '.join(LATENCIES)} chooses one."
        )
    return replace(setup, online_mode=True)


VISIT_STEPS = 100
"""Diffusion steps that a visitor may ask for (the range of the wire contract, part B)."""


def of_visit(setup: Setup, options: Mapping[str, object]) -> Setup:
    """Return an avatar's ``setup`` with what a visit chose.

    Raises:
        ConfigError: An option is unknown, illegal, or fixed when the avatar is prepared.
    """
    given = checked(options)
    for name in OF_SOURCE & set(given):
        if given[name] != getattr(setup, name):
            raise ConfigError(f"Ditto's option {name} belongs to the avatar's preparation; a visit cannot change it.")
    steps = given.get("sampling_timesteps", 0)
    if isinstance(steps, int) and steps > max(VISIT_STEPS, setup.sampling_timesteps):
        raise ConfigError(f"A visit may ask for {VISIT_STEPS} sampling_timesteps at most: others share the device.")
    return changed(setup, options)


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."


assert {one.name for one in fields(Setup)} == set(READERS)
