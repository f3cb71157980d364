"""YAML and environment -> `StudioSpec`; every complaint names file, line and key, and what is allowed.

All complaints are collected and raised together. Knows no engine: the names that may be chosen are an argument.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from studio.config.musetalk import KEYS, film, is_film
from studio.config.places import home, workplace
from studio.config.tree import Given, read_tree
from studio.config.values import TOKEN, TOKEN_RULE, Value, checked, contradictions
from studio.errors import ConfigError
from studio.spec import AvatarSpec, IceSpec, LimitsSpec, MediaSpec, RtmpSpec, ServerSpec, StudioSpec

SECTIONS: Mapping[str, type[ServerSpec | MediaSpec | IceSpec | RtmpSpec | LimitsSpec]] = {
    "server": ServerSpec,
    "media": MediaSpec,
    "ice": IceSpec,
    "rtmp": RtmpSpec,
    "limits": LimitsSpec,
}
SECRETS = {"server": "token", "ice": "turn_secret"}
"""Section -> its key that stands in no YAML: it comes from the environment, or the file that ``<key>_file`` names."""
AVATAR_KEYS = ("id", "name", "source", "engine", "preparation", "options")
DEFAULT_KEYS = ("engine", "preparation", "options")
SOURCELESS = frozenset({"testcard"})
"""Engines that draw without a source."""
ENVIRONMENT = "STUDIO_"

ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
ID_RULE = "use lower case letters, digits, - and _ (at most 64), a letter or digit first"
Section = TypeVar("Section", ServerSpec, MediaSpec, IceSpec, RtmpSpec, LimitsSpec)


def read_spec(
    path: Path, engines: Collection[str], environ: Mapping[str, str], home_folder: Path | None = None
) -> StudioSpec:
    """Read the configuration.

    Args:
        path: The YAML file.
        engines: Names that ``engine`` may have, besides ``auto``.
        environ: The environment: ``STUDIO_<SECTION>_<KEY>`` overrides a scalar, ``STUDIO_AVATARS_<ID>_<KEY>`` one of
            an avatar's; lists are separated by commas.
        home_folder: Second place to look for relative sources (after the YAML's own folder); `home` by default.

    Raises:
        ConfigError: Something is wrong; one line for each complaint.
    """
    reader = _Reader(path, engines, environ, home_folder)
    spec = reader.studio(read_tree(path, reader.complaints))
    if reader.complaints:
        raise ConfigError("\n".join(reader.complaints))
    return spec


class _Reader:
    """Turns the tree into specs and collects what is wrong with it."""

    def __init__(
        self, path: Path, engines: Collection[str], environ: Mapping[str, str], home_folder: Path | None
    ) -> None:
        self.path, self.home = path, home_folder or home()
        self.workplace = home_folder or workplace()
        self.engines = ("auto", *sorted(engines))
        self.environ = {key: value for key, value in environ.items() if key.startswith(ENVIRONMENT)}
        self.complaints: list[str] = []

    def studio(self, root: Given) -> StudioSpec:
        """Read the whole tree."""
        tree = self.mapping(root)
        known = (*SECTIONS, "defaults", "cache", "media_roots", "avatars")
        musetalk = {k: v for k, v in tree.items() if k not in known and is_film(v)}
        self.unknown({k: v for k, v in tree.items() if k not in musetalk}, known)
        defaults: dict[str, Given] = self.mapping(tree.get("defaults"))
        self.unknown(defaults, DEFAULT_KEYS)
        server = self.server(tree)
        media = self.section("media", MediaSpec(), tree)
        ice = self.ice(tree)
        rtmp = self.section("rtmp", RtmpSpec(), tree)
        limits = self.section("limits", LimitsSpec(), tree)
        for section, sentence in contradictions(media, limits):
            self.complain(tree.get(section, root), sentence)
        avatars = self.avatars(tree.get("avatars"), musetalk, defaults)
        if not avatars and not self.complaints:
            self.complain(root, "there are no avatars; add a list called avatars, each with an id and a source")
        cache = self.scalar(self.override("cache", tree.get("cache")), ".studio", "cache")
        roots = self.folders(self.override("media_roots", tree.get("media_roots")))
        return StudioSpec(avatars, server, media, ice, limits, self.workplace / cache, roots, self.path, rtmp)

    def section(self, name: str, empty: Section, tree: Mapping[str, Given], extra: Sequence[str] = ()) -> Section:
        """Read one section into the dataclass of which ``empty`` holds the defaults."""
        given = self.mapping(tree.get(name))
        defaults: dict[str, Any] = {field.name: getattr(empty, field.name) for field in dataclasses.fields(empty)}
        secret: str = SECRETS.get(name, "")
        plain = {key: value for key, value in given.items() if key != secret}
        self.unknown(plain, (*(key for key in defaults if key != secret), *extra))
        values = {
            key: self.scalar(self.override(f"{name}.{key}", given.get(key)), default, f"{name}.{key}")
            for key, default in defaults.items()
        }
        self.misspelt(name, (*defaults, *extra))
        return type(empty)(**values)

    def guarded(self, name: str, empty: Section, tree: Mapping[str, Given]) -> Section:
        """Read a section that has a secret."""
        key, given = SECRETS[name], self.mapping(tree.get(name))
        file_key, variable = f"{key}_file", f"{ENVIRONMENT}{name}_{key}".upper()
        if refused := given.get(key):
            self.complain(refused, f"a secret does not belong here; use {variable} or {name}.{file_key}")
        file = self.override(f"{name}.{file_key}", given.get(file_key))
        kept = {other: value for other, value in given.items() if other != key}
        if file and variable not in self.environ and (place := self.existing(file)):
            kept[key] = Given(place.read_text("utf-8").strip(), kept[file_key].where if file_key in kept else name)
        whole = Given(kept, tree[name].where) if name in tree else Given(kept, name)
        return self.section(name, empty, {name: whole}, extra=(file_key,))

    def server(self, tree: Mapping[str, Given]) -> ServerSpec:
        """Read ``server``; the certificate's files are looked for like all others."""
        spec = self.guarded("server", ServerSpec(), tree)
        given, places = self.mapping(tree.get("server")), {}
        for key in ("tls_cert", "tls_key"):
            file = self.override(f"server.{key}", given.get(key))
            places[key] = str((file and getattr(spec, key) and self.existing(file)) or "")
        if spec.token and not TOKEN.fullmatch(spec.token):
            self.complain(given.get("token_file", Given("", "STUDIO_SERVER_TOKEN")), TOKEN_RULE)
        return dataclasses.replace(spec, tls_cert=places["tls_cert"], tls_key=places["tls_key"])

    def ice(self, tree: Mapping[str, Given]) -> IceSpec:
        """Read ``ice``."""
        spec, given = self.guarded("ice", IceSpec(), tree), self.mapping(tree.get("ice"))
        whole = tree.get("ice", Given({}, "ice"))
        ends = [int(end) for end in spec.ports.split("-") if end]
        if ends and not ends[0] <= ends[1] <= 65_535:
            self.complain(given.get("ports", whole), "ports must go from a lower to a higher one, 65535 at most")
        if spec.relay_only and not spec.turn:
            self.complain(whole, "relay_only needs a server that relays: ice.turn")
        if spec.turn and not (spec.turn_secret or self.override("ice.turn_secret_file", given.get("turn_secret_file"))):
            self.complain(whole, "turn needs a shared secret: STUDIO_ICE_TURN_SECRET or ice.turn_secret_file")
        return spec

    def avatars(
        self, given: Given | None, musetalk: Mapping[str, Given], defaults: Mapping[str, Given]
    ) -> tuple[AvatarSpec, ...]:
        """Read the list, then avatars in MuseTalk's shape."""
        items = given.value if given else []
        if not isinstance(items, list):
            self.complain(cast(Given, given), "must be a list of avatars")
            items = []
        specs: list[AvatarSpec] = []
        seen: dict[str, str] = {}
        for item in items:
            self.add(self.avatar(item, defaults), item, specs, seen)
        for key, item in musetalk.items():
            self.add(self.musetalk(key, item, defaults), item, specs, seen)
        return tuple(specs)

    def add(self, spec: AvatarSpec | None, item: Given, specs: list[AvatarSpec], seen: dict[str, str]) -> None:
        """Keep an avatar unless its id is taken."""
        if spec is None:
            return
        if spec.id in seen:
            self.complain(item, f"the id {spec.id!r} is taken already by {seen[spec.id]}")
            return
        seen[spec.id] = item.where
        specs.append(spec)

    def avatar(self, item: Given, defaults: Mapping[str, Given]) -> AvatarSpec | None:
        """Read one entry of the list."""
        body = self.mapping(item)
        self.unknown(body, AVATAR_KEYS)
        if "id" not in body:
            self.complain(item, "needs an id")
            return None
        return self.built(self.scalar(body["id"], "", "id"), body["id"], body, "source", {}, item, defaults)

    def musetalk(self, key: str, item: Given, defaults: Mapping[str, Given]) -> AvatarSpec | None:
        """Read one avatar as ``realtime.yaml`` writes it; ``bbox_shift`` and ``audio_clips`` become options."""
        body = dict(self.mapping(item))
        self.unknown(body, KEYS)
        engine = body.get("engine") or defaults.get("engine")
        if "musetalk" in self.engines and (engine is None or engine.value == "auto"):
            body["engine"] = Given("musetalk", item.where)
        written = body["video_path"]
        body["video_path"] = film(self.path, key if ID.fullmatch(key) else "", body)
        options: dict[str, object] = {}
        if "bbox_shift" in body:
            options["bbox_shift"] = self.scalar(body["bbox_shift"], 0, "bbox_shift")
        clips = {name: self.scalar(clip, "", "clip") for name, clip in self.mapping(body.get("audio_clips")).items()}
        if clips:
            options["audio_clips"] = clips
        spec = self.built(key, item, body, "video_path", options, item, defaults)
        if spec and spec.configured_source == body["video_path"].value:
            return dataclasses.replace(spec, configured_source=str(written.value))
        return spec

    def built(
        self, id: str, id_place: Given, body: Mapping[str, Given], source_key: str, options: dict[str, object],
        item: Given, defaults: Mapping[str, Given],
    ) -> AvatarSpec | None:  # fmt: skip
        """Put an avatar together from its own keys, its environment and the defaults."""
        before = len(self.complaints)
        if not ID.fullmatch(id):
            self.complain(id_place, f"{id!r} cannot be an id; {ID_RULE}")
            return None
        slug = f"avatars.{id}".replace("-", "_")
        name, engine, preparation, source = (
            self.override(f"{slug}.{key}", body.get(key, defaults.get(key)))
            for key in ("name", "engine", "preparation", source_key)
        )
        self.misspelt(slug, (*AVATAR_KEYS, source_key))
        chosen = self.scalar(engine, "auto", "engine")
        if chosen not in self.engines:
            self.complain(cast(Given, engine), f"there is no engine {chosen!r}; allowed: {', '.join(self.engines)}")
        written = self.scalar(source, "", "source")
        place: Path | None = self.home
        if chosen not in SOURCELESS:
            if source is None or not written:
                self.complain(source or item, f"needs {source_key}: a picture, or a folder with a drawn character")
            else:
                place = self.existing(source)
        own = {**self.options(defaults), **options, **self.options(body)}
        prepare_anew = self.scalar(preparation, False, "preparation")
        if len(self.complaints) > before or place is None:
            return None
        return AvatarSpec(id, place, self.scalar(name, "", "name"), chosen, written, prepare_anew, own)

    def options(self, body: Mapping[str, Given]) -> dict[str, object]:
        """Return the engine's own options; the engine judges them."""
        return {key: value.plain() for key, value in self.mapping(body.get("options")).items()}

    def folders(self, given: Given | None) -> tuple[Path, ...]:
        """Return the absolute folders of a list."""
        names = self.scalar(given, (), "media_roots")
        places = [self.existing(Given(name, cast(Given, given).where)) for name in names]
        for place in places:
            if place and not place.is_dir():
                self.complain(cast(Given, given), f"{place} is no folder")
        return tuple(place for place in places if place)

    def existing(self, given: Given) -> Path | None:
        """Return the absolute path that a text names, seen from the YAML's folder, else from the studio's."""
        if not isinstance(given.value, str) or "\0" in given.value:
            self.complain(given, "must be the path of a file or folder")
            return None
        written = Path(given.value).expanduser()
        for base in (self.path.resolve().parent, self.home):
            if os.path.exists(base / written):  # which, unlike Path.exists, says no to names that are too long
                return (base / written).resolve()
        looked = "" if written.is_absolute() else f" (looked beside {self.path.name} and in {self.home})"
        self.complain(given, f"there is no file or folder {given.value!r}{looked}")
        return None

    def override(self, key: str, given: Given | None) -> Given | None:
        """Return the environment's value for a dotted ``key``, else what was given."""
        name = ENVIRONMENT + key.replace(".", "_").upper()
        return Given(self.environ[name], name, True) if name in self.environ else given

    def misspelt(self, prefix: str, keys: Sequence[str]) -> None:
        """Complain about variables of this section that set nothing."""
        stem = ENVIRONMENT + prefix.replace(".", "_").upper() + "_"
        allowed = [stem + key.upper() for key in keys]
        for name in self.environ:
            if name.startswith(stem) and name not in allowed and not prefix.startswith("avatars."):
                self.complaints.append(f"{name}: unknown variable; allowed: {', '.join(allowed)}")

    def mapping(self, given: Given | None) -> dict[str, Given]:
        """Return the keys of a section; nothing is an empty one."""
        if given is None or given.value is None:
            return {}
        if not isinstance(given.value, dict):
            self.complain(given, "must be a section with keys")
            return {}
        return given.value

    def unknown(self, given: Mapping[str, Given], allowed: Sequence[str]) -> None:
        """Complain about keys that are not allowed."""
        for key, value in given.items():
            if key not in allowed:
                near = difflib.get_close_matches(key, allowed, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                self.complain(value, f"unknown key{hint}; allowed: {', '.join(allowed)}")

    def complain(self, given: Given, text: str) -> None:
        """Add a complaint about a value."""
        self.complaints.append(f"{given.where}: {text}")

    def scalar(self, given: Given | None, default: Value, key: str) -> Value:
        """Return a value of the type of ``default``, within the limits of ``key``, else complain and return it."""
        if given is None or given.value is None:
            return default
        return checked(given, default, key, self.complaints)
