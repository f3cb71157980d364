"""Configurations of released networks: read, and compared with the one that the studio knows.

A configuration builds the network that its file describes; one that describes another would give numbers that nobody
has looked at. So it must say what is known, and the sentence names the first key that differs. Specification: 3.2 to
3.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from studio.errors import BadMessage, BadNetwork
from studio.jsontext import read_object

LARGEST_BYTES = 1_000_000
WIDTHS = "block_out_channels"
"""Channels of a network's blocks: the one thing in which a stand-in may differ."""
GROUPS = 32
"""Channels are normalised in so many groups."""

Settings = Mapping[str, object]

UNET: Settings = {
    "in_channels": 8, "out_channels": 4, WIDTHS: [320, 640, 1280, 1280], "layers_per_block": 2,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "attention_head_dim": 8, "cross_attention_dim": 384, "norm_num_groups": GROUPS, "norm_eps": 1e-5,
    "act_fn": "silu", "flip_sin_to_cos": True, "freq_shift": 0, "center_input_sample": False,
    "downsample_padding": 1, "mid_block_scale_factor": 1,
}  # fmt: skip
VAE: Settings = {
    "in_channels": 3, "out_channels": 3, WIDTHS: [128, 256, 512, 512], "layers_per_block": 2,
    "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4,
    "latent_channels": 4, "norm_num_groups": GROUPS, "act_fn": "silu", "scaling_factor": 0.18215,
}  # fmt: skip
WHISPER: Settings = {
    "d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536, "num_mel_bins": 80,
    "max_source_positions": 1500, "activation_function": "gelu", "scale_embedding": False,
}  # fmt: skip


def read_settings(path: Path, known: Settings, usual: Settings, allow_small: bool = False) -> Settings:
    """Return what a network is built from: ``known``, with the widths that the file says.

    Args:
        path: The released configuration, JSON.
        known: What it must say, where it says anything.
        usual: What the library takes for further keys that are not given; the file may not say otherwise.
        allow_small: Take narrower blocks: a stand-in for tests.

    Raises:
        BadNetwork: It is missing or no configuration, or describes another network.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST_BYTES + 1)
        given = read_object(text.decode()) if len(text) <= LARGEST_BYTES else {}
    except (OSError, UnicodeDecodeError, BadMessage) as error:
        raise BadNetwork(f"{path.name} cannot be read; fetch it again.", f"{path}: {error}") from error
    if not given:
        raise BadNetwork(f"{path.name} is no configuration of a network; fetch it again.", str(path))
    for key, value in {**usual, **known}.items():
        if key in given and given[key] != value and not (allow_small and key == WIDTHS and _are_widths(given[key])):
            differs = f"its {key} is {str(given[key])[:80]}, not {value}"
            raise BadNetwork(f"{path.name} describes another network than MuseTalk's: {differs}.", str(path))
    return {**known, **({WIDTHS: given[WIDTHS]} if WIDTHS in known and WIDTHS in given else {})}


def _are_widths(value: object) -> bool:
    """Tell whether four blocks can be so wide, and are not wider than the real ones."""
    widths = value if isinstance(value, list) else []
    return len(widths) == 4 and all(type(one) is int and one % GROUPS == 0 and 0 < one <= 1280 for one in widths)
