"""The whole way, from frames and sound to pictures, and the avatar folder that upstream wrote of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines import loop
from studio.engines.musetalk import blend, finding, hearing, latents, masks, windows
from studio.engines.musetalk.boxes import with_margin
from studio.engines.musetalk.importer import Upstream
from studio.engines.musetalk.types import Box, Bytes, Floats
from studio.engines.torchfile import TorchFile
from tests.conformance.musetalk.face import within
from tests.conformance.musetalk.golden import Golden
from tests.conformance.musetalk.verdict import EXACT, FLOATS, MASK, judge, judge_picture
from tests.conformance.verdict import Verdict


def check(golden: Golden) -> Iterator[Verdict]:
    """Yield one verdict for each array of ``e2e.npz``, each output picture and each mask of the avatar folder."""
    there = golden.arrays("e2e.npz")
    boxes = _boxes(golden)
    crops = [masks.crop_box(box) for box in boxes]
    yield judge("e2e/coords", _cycle(np.array(boxes)), there["coords"], EXACT)
    yield judge("e2e/mask_coords", _cycle(np.array(crops)), there["mask_coords"], EXACT)
    seen = latents.encoder_input(latents.face_crop(golden.frames[0], boxes[0]))
    yield judge("e2e/vae_in_masked_0", seen[0], there["vae_in_masked_0"], FLOATS)
    yield judge("e2e/vae_in_full_0", seen[1], there["vae_in_full_0"], FLOATS)
    crop = latents.face_crop(golden.frames[0], boxes[0])
    yield judge("face_crop_256_0", crop, golden.picture("face_crop_256_0.png"), MASK)
    encoded = np.stack([_latents(golden, *one) for one in zip(golden.frames, boxes, strict=True)])
    yield judge("e2e/latents", _cycle(encoded), there["latents"], FLOATS)
    wave = golden.wave(golden.options["e2e_wav"])
    rows = windows.window_rows(len(wave), golden.fps, *golden.padding)
    prompts = windows.prompts(hearing.features(golden.networks, wave), rows) + windows.encoding()
    yield judge("e2e/n_predicted", np.array(len(prompts)), there["n_predicted"], EXACT)
    yield judge("e2e/unet_audio", prompts[there["unet_audio_frames"]], there["unet_audio"], FLOATS)
    painted = _painted(golden, _cycle(encoded), prompts, there["batch_sizes"].tolist())
    yield judge("e2e/unet_out", painted, there["unet_out"], FLOATS)
    faces = np.stack([face for face in golden.networks.decode(painted) if face is not None])
    yield judge("face_recon_0", faces[0], golden.picture("face_recon_0.png"), MASK)
    soft = [_mask(golden, *one) for one in zip(golden.frames, boxes, crops, strict=True)]
    yield from _pictures(golden, boxes, crops, soft, faces)
    for index in range(2 * len(soft)):
        name = f"avatar_cache/mask/{index:08d}"
        yield judge(name, soft[loop.mirror(index, len(soft))], golden.grey(f"{name}.png"), MASK)
    yield from _import(golden, (boxes, crops, soft, encoded), there["latents"])


def _import(
    golden: Golden, ours: tuple[list[Box], list[Box], list[Bytes], Floats], latents_there: Floats
) -> Iterator[Verdict]:
    """Compare what the importer makes of upstream's folder with what we made of the same frames."""
    with Upstream(golden.folder / "avatar_cache", 50_000_000, 40_000_000) as upstream:
        frames = list(upstream.frames())
    boxes, crops, soft, encoded = ours
    yield judge("avatar_cache/coords", np.array([frame.box for frame in frames]), np.array(boxes), EXACT)
    yield judge("avatar_cache/mask_coords", np.array([frame.crop for frame in frames]), np.array(crops), EXACT)
    yield judge("avatar_cache/latents", np.stack([frame.latents for frame in frames]), encoded, FLOATS)
    for index, (frame, picture, mask) in enumerate(zip(frames, golden.frames, soft, strict=True)):
        yield judge(f"avatar_cache/full_imgs/{index:08d} (import)", frame.picture, picture, EXACT)
        yield judge(f"avatar_cache/mask/{index:08d} (import)", frame.mask, mask, MASK)
    with TorchFile(golden.folder / "latents_cuda_half.pt") as file:
        assert isinstance(file.content, list)
        half = np.concatenate([file.read(tensor) for tensor in file.content])
    yield judge("latents_cuda_half", half, latents_there.astype(np.float16), FLOATS)


def _boxes(golden: Golden) -> list[Box]:
    """Return the face boxes as upstream stores them: not cut to the picture."""
    finder = finding.NetworkFinder(golden.networks)
    found = [(finder.bare_box(frame), len(frame)) for frame in golden.frames]
    return [with_margin(box, golden.rules.extra_margin, height) for box, height in found if box is not None]


def _latents(golden: Golden, frame: Bytes, box: Box) -> Floats:
    pictures = latents.encoder_input(latents.face_crop(frame, box))
    return golden.networks.encode(np.concatenate(pictures)).reshape(8, 32, 32)


def _mask(golden: Golden, frame: Bytes, box: Box, crop: Box) -> Bytes:
    logits = golden.networks.parse(masks.parser_input(masks.cut(frame, crop)))[0]
    rules = golden.rules
    return masks.soft_mask(masks.talking_area(logits, rules), box, crop, rules.upper_boundary_ratio)


def _painted(golden: Golden, shown: Floats, prompts: Floats, batches: list[int]) -> Floats:
    """Paint in upstream's batches."""
    parts, start = [], 0
    for size in batches:
        frames = np.arange(start, start + size)
        parts.append(golden.networks.paint(shown[frames % len(shown)], prompts[frames]))
        start += size
    return np.concatenate(parts)


def _pictures(golden: Golden, boxes: list[Box], crops: list[Box], soft: list[Bytes], faces: Bytes) -> Iterator[Verdict]:
    for path in sorted((golden.folder / "e2e_crops").glob("*.png")):
        number = int(path.stem)
        index = loop.mirror(number, len(boxes))
        made = blend.pasted(golden.frames[index], faces[number], boxes[index], crops[index], soft[index])
        yield from judge_picture(f"e2e_crops/{path.stem}", within(made, crops[index]), golden.picture(path))
        if number == 0:
            yield from judge_picture("e2e_full_00000000", made, golden.picture("e2e_full_00000000.png"))


def _cycle(half: NDArray[Any]) -> NDArray[Any]:
    """Return the whole loop: forth and back."""
    return half[[loop.mirror(number, len(half)) for number in range(2 * len(half))]]
