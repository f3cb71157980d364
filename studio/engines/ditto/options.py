"""Every option of Ditto's setup, as one frozen dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from studio.engines.ditto.types import Floats, Reference

Controls = Mapping[str, object]
"""Per-frame controls by name: ``delta_pitch`` (degrees), ``alpha_yaw``, ``vad_alpha``, ``delta_exp``, ``fade_alpha``,
``fade_out_keys``."""


@dataclass(frozen=True, slots=True, eq=False)
class Setup:
    """Setup options with upstream's names and upstream's own defaults; the checkpoint's usually differ."""

    online_mode: bool = False
    max_size: int = 1920
    """Longest side of the frame in pixels; 0: as it is."""
    template_n_frames: int = -1
    """Frames of a template video that are read; -1: all."""
    crop_scale: float = 2.3
    crop_vx_ratio: float = 0.0
    """Accepted and without effect, as upstream."""
    crop_vy_ratio: float = -0.125
    crop_flag_do_rot: bool = True
    smo_k_s: int = 13
    """Frames over which the motions of a template video are averaged."""
    emo: int | str | tuple[object, ...] | Floats = 4
    """Label, labels, or rows (m, 8); see `condition.emotion_rows`."""
    eye_f0_mode: bool = False
    ch_info: Reference | None = None
    overlap_v2: int = 10
    fix_kp_cond: int = 0
    fix_kp_cond_dim: tuple[int, int] | None = None
    sampling_timesteps: int = 50
    v_min_max_for_clip: Floats | None = None
    """(>= 2, 265): minimum and maximum of a motion vector on the way out."""
    smo_k_d: int = 3
    N_d: int = -1
    """Output frames, as far as known at setup."""
    use_d_keys: Mapping[str, float] | tuple[str, ...] | None = None
    """Driven keys, or driven keys with weights; None: by kind of source."""
    relative_d: bool = True
    drive_eye: bool | None = None
    delta_eye_arr: Floats | None = None
    """(b, 63): a blink, as additions to ``exp``."""
    delta_eye_open_n: int | tuple[int, ...] = 0
    """Frames between blinks: -1 none, 0 random, a number, or numbers in turn."""
    fade_type: str = ""
    """Empty, ``d0`` or ``s``."""
    fade_out_keys: tuple[str, ...] = ("exp",)
    flag_stitching: bool = True
    overall_ctrl_info: Controls = field(default_factory=dict)
