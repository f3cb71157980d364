"""The Ditto engine: an avatar out of one picture or a short video, many visitors on one device.

Preparation registers the source and draws the idle loop; a visit hears (`speech`), moves (`condition`, `sampler`,
`motion`), becomes keypoints (`retarget`) and is drawn (the warp network, the decoder, `paste`). In one `step` each
network is called once for all takes that need it (`stage`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.engine import Avatar, Finding, Options, Prepared, Progress, Take
from studio.engines.checkpoints import Opened, fingerprint, folder_of
from studio.engines.ditto import store
from studio.engines.ditto.checkpoint import CONFIGS, read_info
from studio.engines.ditto.condition import Condition
from studio.engines.ditto.crew import Crew
from studio.engines.ditto.crew import checked as finite
from studio.engines.ditto.film import Film
from studio.engines.ditto.finder import finder_of
from studio.engines.ditto.idle import Silence, draw
from studio.engines.ditto.options import SHORTEST_OVERLAP, Setup, checked, chosen, live, of_visit, setup_of
from studio.engines.ditto.paste import Painter
from studio.engines.ditto.registration import register
from studio.engines.ditto.retarget import Retarget, keypoints
from studio.engines.ditto.sampler import FRAMES
from studio.engines.ditto.source import kept_bytes
from studio.engines.ditto.stage import Part, perform
from studio.engines.ditto.take import Conductor, delay_beats
from studio.engines.ditto.types import MOTION_DIM, Floats, Source, vector_of
from studio.engines.runtime import Array
from studio.errors import BadMessage, ConfigError
from studio.spec import AvatarSpec, LimitsSpec

VERSION = 1
"""Of the preparation: rises when prepared avatars must be made anew."""

Picture = NDArray[np.uint8]


class DittoAvatar:
    """A registered avatar on the device; immutable, shared by all visits.

    Args:
        spec: As configured.
        source: Registered.
        points: (n, 21, 3) keypoints of its idle loop.
        pictures: Of its idle loop; None while they are being drawn.
        crew: The networks of its checkpoint.
    """

    def __init__(
        self, spec: AvatarSpec, source: Source, points: Floats, pictures: store.IdlePictures | None, crew: Crew
    ) -> None:
        self.crew, self.points = crew, points
        own = chosen(spec.options)
        self.setup = setup_of(crew.info.defaults, own.pipeline)
        self.options = own
        self.templates, self.idle_length = len(source.frames), len(points)
        self.height, self.width = source.frames.shape[1:3]
        warp = crew.networks["warp_network"]
        self.features: list[Array] = [warp.put("feature_3d", one[None]) for one in source.features]
        kept_here = all(isinstance(one, np.ndarray) for one in self.features)
        self.source = source if kept_here else replace(source, features=source.features[:0])
        """Without its features where the device has them."""
        self.memory_bytes = len(source.frames) * kept_bytes(source.frames[0])
        self.keypoints: Floats = np.stack([keypoints(motion) for motion in source.person.motions])
        self.painter = Painter(source.frames, source.crop_to_frame)
        self._pictures = pictures

    restless = False

    def idle(self, phase: int) -> Picture:
        """Return the idle picture at ``phase`` modulo the loop: (H * 3 // 2, W) I420, read-only."""
        assert self._pictures is not None
        return self._pictures[phase]


@dataclass(frozen=True, slots=True, eq=False)
class DittoTake:
    """One visit."""

    avatar: DittoAvatar
    player: Conductor | Film


class DittoEngine:
    """See the module; synchronous, one lane: the device has one owner."""

    name = "ditto"
    lookahead = delay_beats(SHORTEST_OVERLAP)
    lanes = 1
    max_batch = 8

    def __init__(self, limits: LimitsSpec | None = None) -> None:
        self._limits = limits or LimitsSpec()
        self._crews: Opened[tuple[Path, str], Crew] = Opened(lambda key: Crew(*key))

    def fingerprint(self, spec: AvatarSpec) -> str:
        """Hash of the source's bytes, the options, the checkpoint's files and the version.

        Raises:
            BadPortrait: The source cannot be read.
            ConfigError: An option that there is not, or an illegal value.
        """
        own = chosen(spec.options)
        checked(own.pipeline)
        options = {name: value for name, value in own.pipeline.items() if name != "online_mode"}
        head = [self.name, VERSION, spec.id, own.detector, options]
        folder = folder_of(own.checkpoint)
        return fingerprint(head, (folder / CONFIGS[True], *sorted((folder / "ditto_onnx").glob("*.onnx"))), spec.source)

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        """Register the source and draw the idle loop into ``folder``.

        Raises:
            AvatarNotReady: Networks or their runtime are missing.
            BadPortrait: The source cannot become an avatar; the sentence says why.
        """
        crew = self._crew(spec)
        own = chosen(spec.options)
        setup, finder = live(setup_of(crew.info.defaults, own.pipeline)), finder_of(own.detector, crew.networks)
        source, findings = register(spec.source, setup, crew.networks, part(report, 0.0, 0.5), finder, self._limits)
        store.save_source(source, folder)
        silence = Silence(crew, source, setup, np.random.default_rng(seed_of(spec)))
        points = silence.points(retarget_of(source, setup, seed_of(spec)))
        np.save(folder / store.LOOP, points)
        avatar = DittoAvatar(spec, source, points, None, crew)
        draw(avatar, folder / store.IDLE, part(report, 0.5, 1.0))
        return findings

    def load(self, prepared: Prepared) -> DittoAvatar:
        """Bring the avatar's features onto the device, and draw and hear once, so that no visitor waits for it.

        Raises:
            AvatarNotReady: The prepared folder is damaged, or networks are missing.
        """
        crew = self._crew(prepared.spec)
        source, points = store.load_source(prepared.folder), store.load_loop(prepared.folder)
        pictures = store.IdlePictures(prepared.folder, len(points), *source.frames.shape[1:3])
        avatar = DittoAvatar(prepared.spec, source, points, pictures, crew)
        live(avatar.setup)
        warm_up(avatar)
        return avatar

    def admit(self, avatar: Avatar, options: Options) -> int:
        """Return the visit's look-ahead in beats: 22 as released, 12 or 8 for ``latency`` low or lowest, 0 for a film.

        Raises:
            BadMessage: An option that a visit does not have, or an illegal value.
        """
        assert isinstance(avatar, DittoAvatar)
        try:
            visit = chosen(options.values)
            setup = live(of_visit(avatar.setup, visit.pipeline))
        except ConfigError as error:
            raise BadMessage(error.message) from error
        return 0 if options.sound is not None else delay_beats(setup.overlap_v2)

    def begin(self, avatar: Avatar, options: Options) -> DittoTake:
        """Start a visit; where the sound is known beforehand, all motion is made now, the offline way.

        Raises:
            AvatarNotReady: The checkpoint has no offline configuration.
            EngineFault: A network failed.
        """
        assert isinstance(avatar, DittoAvatar)
        visit = chosen(options.values)
        if options.sound is not None:
            info = read_info(avatar.crew.folder, online=False)
            setup = of_visit(setup_of(info.defaults, avatar.options.offline), visit.offline)
            own = avatar.options
            fades = visit.fade_in or own.fade_in, visit.fade_out or own.fade_out
            return DittoTake(avatar, Film(avatar.crew, avatar.source, setup, options.sound, options.seed, fades))
        setup = live(of_visit(avatar.setup, visit.pipeline))
        seen = setup.ch_info or avatar.source.person
        player = Conductor(
            avatar,
            setup,
            Condition(seen, setup.emo, setup.eye_f0_mode, avatar.crew.info),
            vector_of(seen.motions[0]),
            avatar.crew.hearing.silence(setup.overlap_v2),
            retarget_of(avatar.source, setup, options.seed),
            np.random.default_rng(options.seed),
        )
        return DittoTake(avatar, player)

    def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
        """Advance each take by one chunk.

        A step that failed may be tried again with the same chunks: nothing is heard twice, nothing is lost.

        Raises:
            EngineFault: A network failed, or answered with something that is no number; the decoder for a second.
        """
        parts = []
        for take, chunk in batch:
            assert isinstance(take, DittoTake)
            parts.append((take.avatar.crew, Part(take.avatar, take.player, chunk)))
        beats: dict[int, list[Beat]] = {}
        for crew in {id(crew): crew for crew, _ in parts}.values():
            mine = [i for i, (theirs, _) in enumerate(parts) if theirs is crew]
            beats |= dict(zip(mine, perform(crew, [parts[i][1] for i in mine]), strict=True))
        return [beats[i] for i in range(len(parts))]

    def close(self) -> None:
        """Give the networks back."""
        self._crews.close()

    def _crew(self, spec: AvatarSpec) -> Crew:
        """Return the networks of an avatar's checkpoint; those of one checkpoint are shared."""
        own = chosen(spec.options)
        return self._crews.get((folder_of(own.checkpoint), own.runtime))


def retarget_of(source: Source, setup: Setup, seed: int) -> Retarget:
    """Return a new way from motions to keypoints."""
    return Retarget(setup, source.person, source.is_image, Random(seed))


def seed_of(spec: AvatarSpec) -> int:
    """Return the seed of an avatar's idle loop: no two avatars of a gallery move together."""
    return int.from_bytes(hashlib.sha256(spec.id.encode()).digest()[:4], "big")


def warm_up(avatar: DittoAvatar) -> None:
    """Open every network of a visit and call it once, so that no visitor waits for it or meets one that is missing.

    Raises:
        AvatarNotReady: A network is missing or another one.
        EngineFault: A network failed.
    """
    crew, shown = avatar.crew, avatar.points[0]
    crew.hearing.silence(1)
    x, width = (1, FRAMES, MOTION_DIM), crew.info.audio_dim
    shapes = {"x": x, "cond_frame": (1, MOTION_DIM), "cond": (1, FRAMES, width), "time_cond": (1,)}
    crew.networks["lmdm"].warm_up(shapes, times=1)
    crew.stitched([avatar.keypoints[0]], [shown])
    face = crew.drawn([(avatar.features[0], avatar.keypoints[0], shown)])[0]
    avatar.painter.picture(0, finite(face, "decoder"))


def part(report: Progress, start: float, end: float) -> Progress:
    """Return a progress that maps 0..1 into ``start`` .. ``end`` of ``report``."""
    return lambda done, doing: report(start + (end - start) * done, doing)
