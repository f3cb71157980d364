"""The MuseTalk engine: a film whose mouth is painted anew, many visitors on one device.

Preparation finds faces and makes latents and masks (`preparation`); a visit hears (`hearing`), knows which pictures are
due (`take`), and gets faces (`painting`) pasted into the film's own frames (`paste`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.engine import Avatar, Finding, Options, Prepared, Progress, Take
from studio.engines.checkpoints import Opened, fingerprint, folder_of
from studio.engines.loop import mirror
from studio.engines.musetalk import hearing, painting
from studio.engines.musetalk.networks import ROLES, Networks
from studio.engines.musetalk.options import LATENCIES, Chosen, chosen, latency
from studio.engines.musetalk.paste import paste
from studio.engines.musetalk.preparation import prepare
from studio.engines.musetalk.reel import Reel
from studio.engines.musetalk.store import Stored
from studio.engines.musetalk.take import Due, Film, Player
from studio.engines.runtime import rows_of
from studio.errors import BadMessage, ConfigError
from studio.spec import AvatarSpec, LimitsSpec

log = logging.getLogger(__name__)

VERSION = 2
"""Of the preparation: rises when prepared avatars must be made anew."""
LEAST_IDLE = 200
"""Pictures of the idle loop: a shorter film is played several times."""
LIVE = ("whisper_encoder", "unet", "vae_decoder")
"""Networks that a visit needs."""

Picture = NDArray[np.uint8]


class MuseTalkAvatar:
    """A prepared avatar; immutable, shared by all visits. Its latents lie where the networks run.

    Raises:
        AvatarNotReady: The prepared folder is damaged, networks are missing, or the device is full.
    """

    restless = False

    def __init__(self, spec: AvatarSpec, folder: Path, networks: Networks) -> None:
        self.stored, self.networks = Stored(folder), networks
        self.latents = networks.hold(self.stored.latents())
        self.latency = chosen(spec.options).latency
        self.width, self.height = self.stored.width, self.stored.height
        there = 2 * self.stored.count
        self.idle_length = 1 if self.stored.count == 1 else there * -(-LEAST_IDLE // there)
        self.memory_bytes = self.stored.memory_bytes
        self.reel: Reel | None = None
        """Of pictures that are compressed."""
        if self.stored.is_compressed:
            count = self.stored.count
            self.reel = Reel(self.stored.picture, lambda phase: mirror(phase, count), self.stored.picture_bytes)
            self.memory_bytes += self.reel.memory_bytes

    def idle(self, phase: int) -> Picture:
        """Return the idle picture at ``phase`` modulo the loop: (H * 3 // 2, W) I420, read-only."""
        return self.reel.at(phase % self.idle_length) if self.reel else self.stored.picture(self.frame(phase))

    def frame(self, phase: int) -> int:
        """Return which of the film's frames is seen at ``phase``."""
        return mirror(phase % self.idle_length, self.stored.count)

    def drawn(self, due: Due, face: Picture | None, sharp: bool) -> Beat:
        """Return a beat with the face, if there is one, in its frame; ``sharp``: by the mask of a film."""
        chunk, frame, shown = due.chunk, self.frame(due.chunk.phase), self.idle(due.chunk.phase)
        if face is not None:
            shown = paste(shown, face, self.stored.box(frame), self.stored.mask(frame, sharp), due.share)
        return Beat(chunk.index, shown, chunk.pcm, chunk.speech, chunk.phase)


@dataclass(frozen=True, slots=True, eq=False)
class MuseTalkTake:
    """One visit."""

    avatar: MuseTalkAvatar
    player: Player | Film

    def drawn(self, due: Due, face: Picture | None) -> Beat:
        """Return a beat with the face, if there is one, in its frame."""
        return self.avatar.drawn(due, face, sharp=isinstance(self.player, Film))


class MuseTalkEngine:
    """See the module; synchronous, one lane: the device has one owner."""

    name = "musetalk"
    lookahead = max(latency.lookahead for latency in LATENCIES.values())
    lanes = 1

    def __init__(self, limits: LimitsSpec | None = None) -> None:
        self._limits = limits or LimitsSpec()
        self.max_batch = painting.LARGEST
        """Pairs in a step; measured when the first avatar is loaded."""
        self._networks: Opened[tuple[Path, bool, str], Networks] = Opened(lambda key: Networks(*key))
        self._sizes: dict[Networks, int] = {}
        self._lock = threading.Lock()

    def fingerprint(self, spec: AvatarSpec) -> str:
        """Hash of the source's bytes, the options that matter, the checkpoint's files and the version.

        Raises:
            BadPortrait: The source cannot be read.
            ConfigError: An option that there is not, or an illegal value.
        """
        own = chosen(spec.options)
        networks = self._of(own)
        head = [self.name, VERSION, spec.id, asdict(own.rules), own.smooth_boxes, own.seconds]
        return fingerprint(head, filter(None, map(networks.path, ROLES)), spec.source)

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        """Write the film's frames, masks and latents into ``folder``; interrupted, it goes on where it stopped.

        Raises:
            BadPortrait: The source cannot become an avatar; the sentence says why.
            BadNetwork: A network of the preparation is missing.
        """
        own = chosen(spec.options)
        return prepare(spec.source, own, self._of(own), folder, self.fingerprint(spec), report, self._limits)

    def load(self, prepared: Prepared) -> MuseTalkAvatar:
        """Map the avatar's files, and try the networks once, so that no visitor waits for it.

        Raises:
            AvatarNotReady: The prepared folder is damaged, or networks are missing.
        """
        networks = self._of(chosen(prepared.spec.options))
        avatar = MuseTalkAvatar(prepared.spec, prepared.folder, networks)
        with self._lock:
            if networks not in self._sizes:
                for role in LIVE:
                    networks.get(role)
                networks.hear(np.zeros((1, 80, 3000), np.float32))
                self._sizes[networks] = painting.measured(networks)
                self.max_batch = max(self._sizes.values())
                log.info("musetalk: %d faces in a call", self._sizes[networks])
        return avatar

    def admit(self, avatar: Avatar, options: Options) -> int:
        """Return the visit's look-ahead in beats: 3, 4 or 8 for ``latency`` low, balanced or quality; 0 for a film.

        Raises:
            BadMessage: An option that a visit does not have, or an illegal value.
        """
        assert isinstance(avatar, MuseTalkAvatar)
        try:
            asked = latency(options.values, avatar.latency)
        except ConfigError as error:
            raise BadMessage(error.message) from error
        return asked.lookahead if options.sound is None else 0

    def begin(self, avatar: Avatar, options: Options) -> MuseTalkTake:
        """Start a visit; where the sound is known beforehand, all of it is heard now, as upstream does.

        Raises:
            EngineFault: A network failed.
        """
        assert isinstance(avatar, MuseTalkAvatar)
        if options.sound is not None:
            return MuseTalkTake(avatar, Film(hearing.film_prompts(avatar.networks, options.sound)))
        return MuseTalkTake(avatar, Player(latency(options.values, avatar.latency), avatar.idle_length))

    def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
        """Advance each take by one chunk.

        A step that failed may be tried again with the same chunks: nothing is heard twice, nothing is lost.

        Raises:
            EngineFault: A network failed, or answered for a second with something that is no number (`Blanks`).
        """
        takes: list[MuseTalkTake] = []
        for take, _ in batch:
            assert isinstance(take, MuseTalkTake)
            takes.append(take)
        due = [take.player.hear(chunk) for take, (_, chunk) in zip(takes, batch, strict=True)]
        faces = self._faces(takes, due)
        return [
            [take.drawn(one, faces.get(id(one), one.face)) for one in mine]
            for take, mine in zip(takes, due, strict=True)
        ]

    def close(self) -> None:
        """Give the networks back."""
        with self._lock:
            self._networks.close()
            self._sizes.clear()

    def _faces(self, takes: Sequence[MuseTalkTake], due: Sequence[Sequence[Due]]) -> dict[int, Picture | None]:
        """Return the faces that the networks have to make, by the identity of what is due; None: the film's own."""
        made: dict[int, Picture | None] = {}
        for networks in {take.avatar.networks for take in takes}:
            wanted, players = [], []
            for take, mine in zip(takes, due, strict=True):
                needed = [one for one in mine if one.share > 0 and one.face is None]
                if take.avatar.networks is networks and needed:
                    frames = [take.avatar.frame(one.chunk.phase) for one in needed]
                    wanted.append(painting.Wanted(take.player, needed, rows_of(take.avatar.latents, frames)))
                    players.append(take.player)
            if not wanted:
                continue
            made_here = painting.faces(networks, wanted, self._sizes.get(networks, 1))
            for player, one, faces in zip(players, wanted, made_here, strict=True):
                for face in faces:
                    player.shown(face)
                made |= {id(due): face for due, face in zip(one.due, faces, strict=True)}
        return made

    def _of(self, own: Chosen) -> Networks:
        """Return the networks of an avatar's checkpoint; those of one checkpoint are shared."""
        return self._networks.get((folder_of(own.checkpoint), own.allow_small_networks, own.runtime))
