"""Writes the small files of this folder with the real PyTorch: ``python tests/unit/torchfiles/make.py``.

Run by hand, with PyTorch 2.14 (CPU); what it writes is ours and is under version control, so that the tests need none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent


class Module:
    """An object saved whole, which only its own code can read."""


def save(name: str, value: object, **options: bool) -> None:
    """Write one file."""
    torch.save(value, HERE / name, **options)


def main() -> None:
    """Write all of them."""
    kinds = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "complex64")
    save("kinds.pt", {kind: torch.arange(-3, 3).abs().to(getattr(torch, kind)).reshape(2, 3) for kind in kinds})
    save("truth.pt", torch.tensor([True, False, True]))
    base = torch.arange(24, dtype=torch.int32).reshape(4, 6)
    save("views.pt", [base, base[1:3, ::2], base.t(), base[0], base[2:2], base[3, 5], torch.tensor(7.5)])
    linear = torch.nn.Linear(3, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.arange(6.0).reshape(2, 3))
        linear.bias.copy_(torch.tensor([0.5, -0.5]))
    save("state.pth", linear.state_dict())
    save("parameter.pt", {"p": linear.bias, "size": torch.Size([2, 3]), "lr": 0.1, "name": "x", "np": np.arange(3)})
    tag = torch.serialization.location_tag
    torch.serialization.location_tag = lambda storage: "cuda:0"  # what a GPU would have written
    save("latents_cuda.pt", [torch.full((1, 8, 2, 2), float(i), dtype=torch.half) for i in range(4)])
    torch.serialization.location_tag = tag
    save("legacy.pt", [base], _use_new_zipfile_serialization=False)
    save("module.pt", Module())
    save("sparse.pt", torch.eye(3).to_sparse())
    save("expanded.pt", torch.ones(1).expand(1000))
    save("negated.pt", torch.tensor([1 + 2j]).conj())
    save("float8.pt", torch.zeros(3).to(torch.float8_e4m3fn))
    torch.jit.save(torch.jit.script(torch.nn.ReLU()), HERE / "script.pt")


if __name__ == "__main__":
    main()
