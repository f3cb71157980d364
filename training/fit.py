"""One training run: weighted errors of curves and of their changes, closures as yes or no, phones as a side task."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from training.network import SCALES, LipNetwork

BATCH, EPOCHS, PEAK = 32, 16, 4e-3
SIDE_TASK = 0.15
"""Weight of the phone classification: knowing what is said is most of knowing what lips do."""
KEEP = 0.99
"""Of the running average of the weights, which is what ships."""
FOLLOWING = 0.4
"""Weight of 1 - r of the finished opening in each lesson: what is scored, and what strangers gain most from."""
SLACK = 0.04
"""Opening under which a mouth counts as shut."""
RARE = 2.0
"""How much more a missed closure counts than a false one: p b m and f v are rare."""


def fit(lessons: Mapping[str, NDArray[np.generic]], seed: int, epochs: int, say: Callable[[str], None]) -> LipNetwork:
    """Train one network.

    Args:
        lessons: ``features`` (n, 4 rows, 42), ``targets``, ``known`` (n, rows, 6), ``phones`` (n, rows).
        seed: Of weights and order.
        epochs: Passes over the lessons.
        say: Hears the loss of every epoch.
    """
    torch.manual_seed(seed)
    torch.set_flush_denormal(True)
    network = LipNetwork()
    average = copy.deepcopy(network)
    count = len(lessons["features"])
    batches = (count + BATCH - 1) // BATCH
    optimiser = torch.optim.AdamW(network.parameters(), PEAK, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, PEAK, total_steps=epochs * batches)
    began = time.monotonic()
    for epoch in range(epochs):
        total = 0.0
        for chosen in torch.randperm(count).split(BATCH):
            batch = {name: torch.from_numpy(array[chosen.numpy()]) for name, array in lessons.items()}
            loss = _loss(network, batch)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(loss.detach())
            _follow(average, network)
        say(f"seed {seed} epoch {epoch + 1}/{epochs}: loss {total / batches:.4f}, {time.monotonic() - began:.0f} s")
    return average.eval()


def _loss(network: LipNetwork, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    predicted, phones = network(batch["features"].float())
    known = batch["known"].float()
    target = batch["targets"][:, :, :4] / torch.tensor(SCALES)
    importance = torch.tensor([2.0, 1.0, 1.0, 1.0])
    error = (predicted[:, :, :4] - target) * known[:, :, :4]
    change = error[:, 1:] - error[:, :-1]
    curves = (error.square() * importance).mean() + 2.0 * (change.square() * importance).mean()
    gates = functional.binary_cross_entropy_with_logits(
        predicted[:, :, 4:], batch["targets"][:, :, 4:], reduction="none", pos_weight=torch.tensor(RARE)
    )
    side = functional.cross_entropy(phones.flatten(0, 1), batch["phones"].flatten(), ignore_index=-1)
    apart = 1.0 - _correlation(_finished(predicted), target[:, :, 0], known[:, :, 0])
    return curves + (gates * known[:, :, 4:]).mean() + SIDE_TASK * side + FOLLOWING * apart.mean()


def _finished(predicted: torch.Tensor) -> torch.Tensor:
    """Return (B, rows) the opening, gated as `lipnet.finish` does, in units of the network."""
    press, fv = ((torch.sigmoid(predicted[:, :, i]) - 0.25).div(0.4).clamp(0, 1) for i in (4, 5))
    opening = torch.relu(predicted[:, :, 0] - SLACK / SCALES[0])
    return opening * (1 - press) * (1 - 0.5 * fv)


def _correlation(a: torch.Tensor, b: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return (B,) Pearson's r over the known rows; the 0.1 keeps lessons without motion quiet."""
    count = known.sum(1, keepdim=True).clamp(min=1)
    a, b = ((x - (x * known).sum(1, keepdim=True) / count) * known for x in (a, b))
    return (a * b).sum(1) / ((a.square().sum(1) + 0.1) * (b.square().sum(1) + 0.1)).sqrt()


@torch.no_grad()
def _follow(average: LipNetwork, network: LipNetwork) -> None:
    for kept, new in zip(average.parameters(), network.parameters(), strict=True):
        kept.lerp_(new, 1.0 - KEEP)
