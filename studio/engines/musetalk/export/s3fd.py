"""The face detector: S3FD (Zhang et al. 2017) on VGG-16 (Simonyan and Zisserman 2015), layers called as in its file.

Specification 5.3. What comes out is raw; `detector` decodes it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG's convolutions; the size is halved behind each stage."""
LEVELS: Mapping[str, tuple[int, int]] = {
    "conv3_3_norm": (256, 4), "conv4_3_norm": (512, 2), "conv5_3_norm": (512, 2),
    "fc7": (1024, 2), "conv6_2": (512, 2), "conv7_2": (256, 2),
}  # fmt: skip
"""Where faces are looked for, strides 4 to 128: channels, and classes that are told apart there."""
LEAST = 1e-10


class Level(nn.Module):
    """Every place's features brought to one length (paper, section 3.1), then weighted by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features of the same shape."""
        length = x.square().sum(dim=1, keepdim=True).sqrt() + LEAST
        return x / length * self.weight[:, None, None]


class S3FD(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        into = 3
        for stage, widths in enumerate(STAGES, 1):
            for number, out in enumerate(widths, 1):
                self.add_module(f"conv{stage}_{number}", nn.Conv2d(into, out, 3, padding=1))
                into = out
        self.fc6 = nn.Conv2d(512, 1024, 3, padding=3)
        self.fc7 = nn.Conv2d(1024, 1024, 1)
        self.conv6_1, self.conv6_2 = nn.Conv2d(1024, 256, 1), nn.Conv2d(256, 512, 3, 2, 1)
        self.conv7_1, self.conv7_2 = nn.Conv2d(512, 128, 1), nn.Conv2d(128, 256, 3, 2, 1)
        for name, (channels, classes) in LEVELS.items():
            if name.endswith("_norm"):
                self.add_module(name, Level(channels))
            self.add_module(f"{name}_mbox_conf", nn.Conv2d(channels, classes, 3, padding=1))
            self.add_module(f"{name}_mbox_loc", nn.Conv2d(channels, 4, 3, padding=1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return scores (n, 2, h, w) and offsets (n, 4, h, w) of six levels, in turn.

        Args:
            image: (n, 3, H, W) RGB less upstream's means.
        """
        seen: dict[str, torch.Tensor] = {}
        x = image
        for stage, widths in enumerate(STAGES, 1):
            for number in range(1, len(widths) + 1):
                x = self._layer(f"conv{stage}_{number}", x)
            if f"conv{stage}_3_norm" in LEVELS:
                seen[f"conv{stage}_3_norm"] = self.get_submodule(f"conv{stage}_3_norm")(x)
            x = functional.max_pool2d(x, 2, 2)
        for name in ("fc6", "fc7", "conv6_1", "conv6_2", "conv7_1", "conv7_2"):
            x = seen[name] = self._layer(name, x)
        maps: list[torch.Tensor] = []
        for name, (_, classes) in LEVELS.items():
            scores = self.get_submodule(f"{name}_mbox_conf")(seen[name])
            if classes == 4:  # three ways to be no face, of which the most likely one counts (paper, section 3.3)
                scores = torch.cat([scores[:, :3].amax(dim=1, keepdim=True), scores[:, 3:]], dim=1)
            maps += [scores, self.get_submodule(f"{name}_mbox_loc")(seen[name])]
        return tuple(maps)

    def _layer(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.relu(self.get_submodule(name)(x))
