"""The network in PyTorch: two strided convolutions over the hops, a GRU over the beats, six outputs and a side task."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from studio.engines.portrait.features import FEATURES, HOPS_PER_BEAT
from training.mouths import CLASSES

SEEN = 13
"""Hops that one row's convolutions see; the last is hop 4 k + 7: 80 ms look-ahead."""
SCALES = (0.08, 0.04, 0.25, 0.35)
"""Unit of the first four outputs inside the network."""


class LipNetwork(nn.Module):
    """(B, 4 rows, 42) features -> (B, rows, 6) scaled outputs, the last two logits, and (B, rows, classes) logits."""

    def __init__(self, first: int = 48, second: int = 64, hidden: int = 96) -> None:
        super().__init__()
        self.first = nn.Conv1d(FEATURES, first, 5, stride=2)
        self.second = nn.Conv1d(first, second, 5, stride=2)
        self.memory = nn.GRU(second, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 6)
        self.aside = nn.Linear(hidden, len(CLASSES))
        self.drop = nn.Dropout(0.1)

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See the class."""
        rows = features.shape[1] // HOPS_PER_BEAT
        before = features[:, :1].expand(-1, SEEN - 2 * HOPS_PER_BEAT, -1)
        after = features[:, -1:].expand(-1, HOPS_PER_BEAT, -1)
        x = torch.cat([before, features, after], 1).transpose(1, 2)
        x = torch.relu(self.second(torch.relu(self.first(x))))[:, :, :rows]
        memory, _ = self.memory(x.transpose(1, 2))
        memory = self.drop(memory)
        return self.out(memory), self.aside(memory)


def weights(network: LipNetwork) -> dict[str, NDArray[np.float32]]:
    """Return the arrays that `studio.engines.portrait.lipnet` reads, laid out for vector-matrix products."""
    named = {name: value.detach().numpy().astype(np.float32) for name, value in network.state_dict().items()}
    return {
        "first_w": np.ascontiguousarray(
            named["first.weight"].transpose(2, 1, 0).reshape(-1, network.first.out_channels)
        ),
        "first_b": named["first.bias"],
        "second_w": np.ascontiguousarray(
            named["second.weight"].transpose(2, 1, 0).reshape(-1, network.second.out_channels)
        ),
        "second_b": named["second.bias"],
        "input_w": np.ascontiguousarray(named["memory.weight_ih_l0"].T),
        "input_b": named["memory.bias_ih_l0"],
        "memory_w": np.ascontiguousarray(named["memory.weight_hh_l0"].T),
        "memory_b": named["memory.bias_hh_l0"],
        "out_w": np.ascontiguousarray(named["out.weight"].T),
        "out_b": named["out.bias"],
    }
