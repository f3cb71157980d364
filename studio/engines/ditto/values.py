"""Turns foreign values (YAML, JSON, a checkpoint's pickle) into the options' own types, or says what is allowed.

Every reader takes one value and returns it as `options.Setup` holds it; where it cannot, it raises ValueError with a
phrase that completes "Ditto's option x is ...".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from studio.engines.ditto.condition import EMOTIONS, emotion_rows
from studio.engines.ditto.types import MOTION_DIM, POSE, WIDTHS, Floats, Motion, Reference

Reader = Callable[[object], object]
DRIVEN = ("exp", "pitch", "yaw", "roll", "t", "scale")
"""What a motion can drive."""
MOST_ROWS = 100_000
"""Of any array or list that comes as an option."""
CONTROLS: Mapping[str, tuple[float, float]] = {
    **{f"delta_{axis}": (-180.0, 180.0) for axis in POSE},
    **{f"alpha_{axis}": (-10.0, 10.0) for axis in POSE},
    "vad_alpha": (0.0, 1.0),
    "fade_alpha": (0.0, 1.0),
}
"""Per-frame controls that are one number -> their range; ``delta_exp`` and ``fade_out_keys`` are the others."""


def truth(value: object) -> bool:
    """Read true or false."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise ValueError("true or false")


def whole(low: int, high: int) -> Reader:
    """Return a reader of whole numbers from ``low`` to ``high``."""

    def read(value: object) -> int:
        is_number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        if is_number and low <= int(value) <= high:  # type: ignore[call-overload]
            return int(value)  # type: ignore[call-overload,no-any-return]
        raise ValueError(f"a whole number from {low} to {high}")

    return read


def number(low: float, high: float) -> Reader:
    """Return a reader of numbers from ``low`` to ``high``."""

    def read(value: object) -> float:
        is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
        if is_number and low <= float(value) <= high:  # type: ignore[arg-type]
            return float(value)  # type: ignore[arg-type]
        raise ValueError(f"a number from {low:g} to {high:g}")

    return read


def one_of(*words: str) -> Reader:
    """Return a reader of one of these words."""

    def read(value: object) -> str:
        if isinstance(value, str) and value in words:
            return value
        raise ValueError("one of " + ", ".join(word or "''" for word in words))

    return read


def text(value: object) -> str:
    """Read a text that is not empty."""
    if isinstance(value, str) and value:
        return value
    raise ValueError("a text")


def optional(reader: Reader) -> Reader:
    """Return ``reader``, with None allowed."""
    return lambda value: None if value is None else reader(value)


def emotions(value: object) -> Floats:
    """Read a label (number or name), labels, lists of labels, or rows (m, 8) of weights."""
    if isinstance(value, np.ndarray):
        return array(value, "rows of 8 numbers", len(EMOTIONS))
    allowed = f"an emotion 0..{len(EMOTIONS) - 1} ({', '.join(EMOTIONS)}), a list of them, or a list of such lists"
    if isinstance(value, (list, tuple)) and value and len(value) <= MOST_ROWS:
        if any(isinstance(one, (list, tuple)) for one in value):
            return emotion_rows([_labels(one, allowed) for one in value])
        return emotion_rows(_labels(value, allowed))
    return emotion_rows(_label(value, allowed))


def _labels(value: object, allowed: str) -> list[int]:
    if not isinstance(value, (list, tuple)) or not 1 <= len(value) < len(EMOTIONS):
        raise ValueError(allowed)
    return [_label(one, allowed) for one in value]


def _label(value: object, allowed: str) -> int:
    if isinstance(value, str) and value.lower() in EMOTIONS:
        return EMOTIONS.index(value.lower())
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value < len(EMOTIONS):
        return int(value)
    raise ValueError(allowed)


def array(value: object, allowed: str, width: int, least: int = 1) -> Floats:
    """Read finite numbers as (rows, ``width``) float32, at least ``least`` rows."""
    try:
        numbers = np.asarray(value, np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(allowed) from error
    if not numbers.size or numbers.size % width or numbers.ndim > 3 or not np.isfinite(numbers).all():
        raise ValueError(allowed)
    rows = numbers.reshape(-1, width)
    if not least <= len(rows) <= MOST_ROWS:
        raise ValueError(allowed)
    return rows


def limits(value: object) -> Floats:
    """Read minimum and maximum of a motion vector: (>= 2, 265)."""
    return array(value, f"two rows of {MOTION_DIM} numbers, minimum and maximum", MOTION_DIM, least=2)


def blink(value: object) -> Floats:
    """Read a blink (b, 63)."""
    return array(value, f"rows of {WIDTHS['exp']} numbers, one for each frame of a blink", WIDTHS["exp"])


def dimensions(value: object) -> tuple[int, int]:
    """Read the first and the end of a range of numbers of a motion vector."""
    if isinstance(value, (list, tuple)) and len(value) == 2:
        first, end = (whole(0, MOTION_DIM)(one) for one in value)
        assert isinstance(first, int)
        assert isinstance(end, int)
        return first, end
    raise ValueError(f"two whole numbers from 0 to {MOTION_DIM}")


def gaps(value: object) -> int | tuple[int, ...]:
    """Read the gaps between blinks: -1, 0, a number, or numbers in turn."""
    allowed = "-1 (no blinks), 0 (random), a number of frames, or a list of such numbers"
    numbers = value if isinstance(value, (list, tuple)) else [value]
    if not 1 <= len(numbers) <= MOST_ROWS:
        raise ValueError(allowed)
    try:
        read = [whole(0 if isinstance(value, (list, tuple)) else -1, 100_000)(one) for one in numbers]
    except ValueError as error:
        raise ValueError(allowed) from error
    frames = tuple(one for one in read if isinstance(one, int))
    return frames if isinstance(value, (list, tuple)) else frames[0]


def keys(value: object) -> tuple[str, ...]:
    """Read keys of a motion."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)) and all(one in DRIVEN for one in value):
        return tuple(value)
    raise ValueError(f"a list of keys out of {', '.join(DRIVEN)}")


def driven_keys(value: object) -> Mapping[str, float] | tuple[str, ...]:
    """Read driven keys, or driven keys with weights."""
    if not isinstance(value, Mapping):
        return keys(value)
    weight = number(-10.0, 10.0)
    try:
        read = {key: weight(one) for key, one in zip(keys(list(value)), value.values(), strict=True)}
    except ValueError as error:
        raise ValueError(f"keys out of {', '.join(DRIVEN)}, with weights from -10 to 10") from error
    return {key: one for key, one in read.items() if isinstance(one, float)}


def controls(value: object) -> Mapping[str, object]:
    """Read per-frame controls: see `CONTROLS`, ``delta_exp`` (one number, or 63) and ``fade_out_keys``."""
    known = ", ".join((*CONTROLS, "delta_exp", "fade_out_keys"))
    if not isinstance(value, Mapping):
        raise ValueError(f"a mapping of {known}")
    read: dict[str, object] = {}
    for name, one in value.items():
        if name in CONTROLS:
            low, high = CONTROLS[name]
            try:
                read[name] = number(low, high)(one)
            except ValueError as error:
                raise ValueError(f"a mapping whose {name} is {error}") from error
        elif name == "delta_exp":
            read[name] = array(one, "a mapping whose delta_exp is one number, or 63", 1)[:, 0].reshape(1, -1)
            if read[name].shape[1] not in (1, WIDTHS["exp"]):  # type: ignore[attr-defined]
                raise ValueError("a mapping whose delta_exp is one number, or 63")
        elif name == "fade_out_keys":
            read[name] = keys(one)
        else:
            raise ValueError(f"a mapping of {known}")
    return read


def person(value: object) -> Reference:
    """Read a person whom the network sees: ``ch_info`` as released."""
    if isinstance(value, Reference):
        return value
    allowed = "a person as released: x_s_info_lst, eye_open_lst, eye_ball_lst and sc"
    if not isinstance(value, Mapping):
        raise ValueError(allowed)
    motions = value.get("x_s_info_lst")
    if not isinstance(motions, Sequence) or not motions:
        raise ValueError(allowed)
    return Reference(
        tuple(_motion(one, allowed) for one in motions),
        _joined(value.get("eye_open_lst"), allowed, 2),
        _joined(value.get("eye_ball_lst"), allowed, 6),
        array(value.get("sc"), allowed, WIDTHS["kp"])[0],
    )


def _joined(value: object, allowed: str, width: int) -> Floats:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(allowed)
    return np.concatenate([array(one, allowed, width) for one in value])


def _motion(value: object, allowed: str) -> Motion:
    if not isinstance(value, Mapping) or not set(WIDTHS) <= set(value):
        raise ValueError(allowed)
    return {key: array(value[key], allowed, width)[:1] for key, width in WIDTHS.items()}
