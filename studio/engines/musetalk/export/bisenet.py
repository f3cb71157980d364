"""The face parser: BiSeNet (Yu et al. 2018) on ResNet-18 (He et al. 2016), as trained for 19 parts of CelebAMask-HQ.

Where the paper has a spatial path, the released weights use the backbone's features at an eighth of the size. Layers
are called as in the released file; only the first of its three outputs is computed, as only that is used.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

PARTS = 19


def convolution(into: int, out: int, side: int, stride: int = 1) -> nn.Conv2d:
    """Return a convolution without bias that keeps the size, but for its stride."""
    return nn.Conv2d(into, out, side, stride, side // 2, bias=False)


def pooled(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of each channel, (n, c, 1, 1)."""
    return functional.adaptive_avg_pool2d(x, 1)


class Layer(nn.Module):
    """Convolution, normalisation, rectifier."""

    def __init__(self, into: int, out: int, side: int = 3) -> None:
        super().__init__()
        self.conv = convolution(into, out, side)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, out, h, w)."""
        return functional.relu(self.bn(self.conv(x)))


class Residue(nn.Module):
    """ResNet's basic block: two convolutions around which the input is led."""

    def __init__(self, into: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = convolution(into, out, 3, stride)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = convolution(out, out, 3)
        self.bn2 = nn.BatchNorm2d(out)
        if into != out or stride != 1:
            self.downsample = nn.Sequential(convolution(into, out, 1, stride), nn.BatchNorm2d(out))
        else:
            self.downsample = nn.Sequential()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, out, h / stride, w / stride)."""
        changed = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.downsample(x) + self.bn2(self.conv2(changed)))


class Backbone(nn.Module):
    """ResNet-18 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = convolution(3, 64, 7, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(Residue(64, 64, 1), Residue(64, 64, 1))
        self.layer2 = nn.Sequential(Residue(64, 128, 2), Residue(128, 128, 1))
        self.layer3 = nn.Sequential(Residue(128, 256, 2), Residue(256, 256, 1))
        self.layer4 = nn.Sequential(Residue(256, 512, 2), Residue(512, 512, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the features at an eighth, a sixteenth and a thirty-second of the size: 128, 256, 512 channels."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, 2, 1)
        eighth = self.layer2(self.layer1(x))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


class Refinement(nn.Module):
    """Attention refinement: features weighted by what they are on the whole (paper, figure 2 b)."""

    def __init__(self, into: int, out: int) -> None:
        super().__init__()
        self.conv = Layer(into, out)
        self.conv_atten = convolution(out, out, 1)
        self.bn_atten = nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, out, h, w)."""
        x = self.conv(x)
        return x * torch.sigmoid(self.bn_atten(self.conv_atten(pooled(x))))


class Context(nn.Module):
    """The context path: what is seen from afar is added, level by level, to what is seen nearer."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = Backbone()
        self.arm16, self.arm32 = Refinement(256, 128), Refinement(512, 128)
        self.conv_head32, self.conv_head16 = Layer(128, 128), Layer(128, 128)
        self.conv_avg = Layer(512, 128, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the backbone's features and the context's, both at an eighth of the size, 128 channels each."""
        eighth, sixteenth, last = self.resnet(x)
        far = self.arm32(last) + self.conv_avg(pooled(last))
        far = self.conv_head32(functional.interpolate(far, scale_factor=2.0, mode="nearest"))
        near = self.arm16(sixteenth) + far
        return eighth, self.conv_head16(functional.interpolate(near, scale_factor=2.0, mode="nearest"))


class Fusion(nn.Module):
    """Feature fusion: both paths side by side, weighted by what they are on the whole (paper, figure 2 c)."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = Layer(256, 256, 1)
        self.conv1, self.conv2 = convolution(256, 64, 1), convolution(64, 256, 1)

    def forward(self, seen: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return (n, 256, h, w)."""
        both = self.convblk(torch.cat([seen, known], dim=1))
        weights = torch.sigmoid(self.conv2(functional.relu(self.conv1(pooled(both)))))
        return both + both * weights


class Head(nn.Module):
    """What says which part of a face each place is."""

    def __init__(self, into: int, between: int) -> None:
        super().__init__()
        self.conv = Layer(into, between)
        self.conv_out = convolution(between, PARTS, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (n, 19, h, w)."""
        return self.conv_out(self.conv(x))


class BiSeNet(nn.Module):
    """The whole network. Its two auxiliary heads were of use in training only; their weights are in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = Context()
        self.ffm = Fusion()
        self.conv_out = Head(256, 256)
        self.conv_out16, self.conv_out32 = Head(128, 64), Head(128, 64)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the scores (n, 19, 512, 512) of pictures (n, 3, 512, 512) RGB, normalised as for ImageNet."""
        scores = self.conv_out(self.ffm(*self.cp(image)))
        return functional.interpolate(scores, scale_factor=8.0, mode="bilinear", align_corners=True)
