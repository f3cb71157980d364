"""The configuration: what is read, what is refused, and how the refusal is worded."""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.config import home, pip, pip_told, read_spec, workplace
from studio.config.reader import SECRETS, SECTIONS
from studio.config.tree import Given
from studio.config.values import RANGES, checked
from studio.errors import ConfigError
from studio.spec import IceSpec, LimitsSpec, MediaSpec, ServerSpec, StudioSpec

ENGINES = ("portrait", "testcard")


class Desk:
    """A folder with one configuration and a few sources."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "avatars.yaml"
        self.engines: tuple[str, ...] = ENGINES
        (folder / "me.jpg").write_bytes(b"jpeg")
        (folder / "anna").mkdir()

    def read(self, text: str, environ: Mapping[str, str] | None = None) -> StudioSpec:
        """Read a configuration."""
        self.file.write_text(textwrap.dedent(text), "utf-8")
        return read_spec(self.file, self.engines, environ or {}, self.folder / "home")

    def refusal(self, text: str, environ: Mapping[str, str] | None = None) -> str:
        """Return what is wrong with it, the file's name made short."""
        with pytest.raises(ConfigError) as caught:
            self.read(text, environ)
        return caught.value.message.replace(str(self.file), "avatars.yaml")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


BOMB = "a: &a [1, 1]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Aliases of aliases: small on disk, 65,536 times as much in memory."""
CARD = "avatars: [{id: card, engine: testcard}]\n"


def test_shipped_configuration_reads_and_shows_every_default() -> None:
    """Each key of the specs stands in the file, commented out, with its real default."""
    path = home() / "configs" / "avatars.yaml"
    text = path.read_text("utf-8")
    shown = yaml.safe_load(re.sub(r"^  # (?=[a-z_]+:)", "  ", text.split("\navatars:")[0], flags=re.M))
    for name, section in SECTIONS.items():
        expected = dataclasses.asdict(section())
        secret = expected.pop(SECRETS.get(name, ""), "")
        assert secret == ""
        written = {key: tuple(v) if isinstance(v, list) else v for key, v in shown[name].items()}
        assert written.pop(f"{SECRETS.get(name)}_file", "") == ""
        assert written == expected, name


def test_media_roots_are_folders_that_exist(desk: Desk) -> None:
    (desk.folder / "sounds").mkdir()
    (desk.folder / "a.wav").write_bytes(b"")
    assert desk.read("media_roots: [sounds]\n" + CARD).media_roots == (desk.folder / "sounds",)
    assert desk.read(CARD).media_roots == ()
    assert desk.refusal("media_roots: [a.wav]\n" + CARD).endswith("is no folder")
    assert "there is no file or folder 'nowhere'" in desk.refusal("media_roots: [nowhere]\n" + CARD)
    assert desk.refusal("media_roots: 3\n" + CARD).endswith("must be a list of texts, not 3")


def test_least_configuration_takes_every_default(desk: Desk) -> None:
    spec = desk.read(CARD)
    assert spec.server == ServerSpec()
    assert spec.media == MediaSpec()
    assert spec.ice == IceSpec()
    assert spec.limits == LimitsSpec()
    assert spec.cache == desk.folder / "home" / ".studio"
    assert [avatar.id for avatar in spec.avatars] == ["card"]


def test_avatar_takes_its_own_before_the_defaults(desk: Desk) -> None:
    spec = desk.read("""
        defaults: {engine: portrait, preparation: true, options: {expressiveness: 0.8, other: 1}}
        avatars:
          - {id: me, source: me.jpg, name: "Mé", options: {expressiveness: 1.2}, preparation: false}
          - {id: anna, source: anna}
    """)
    me, anna = spec.avatars
    assert (me.name, me.engine, me.preparation) == ("Mé", "portrait", False)
    assert me.options == {"expressiveness": 1.2, "other": 1}
    assert me.source == (desk.folder / "me.jpg").resolve()
    assert me.configured_source == "me.jpg"
    assert anna.preparation
    assert anna.options == {"expressiveness": 0.8, "other": 1}


def test_realtime_yaml_of_musetalk_reads_as_it_is(desk: Desk) -> None:
    spec = desk.read("""
        avator_1:
          preparation: True
          bbox_shift: 5
          video_path: me.jpg
          audio_clips:
            audio_0: "data/audio/yongen.wav"
            audio_1: "data/audio/eng.wav"
    """)
    (avatar,) = spec.avatars
    assert (avatar.id, avatar.preparation, avatar.configured_source) == ("avator_1", True, "me.jpg")
    clips = {"audio_0": "data/audio/yongen.wav", "audio_1": "data/audio/eng.wav"}
    assert avatar.options == {"bbox_shift": 5, "audio_clips": clips}


MUSETALK = """
    avator_1:
      preparation: {preparation}
      bbox_shift: 5
      video_path: "data/video/yongen.mp4"
"""


@pytest.mark.parametrize("preparation", ["True", "False"])
def test_realtime_yaml_reads_where_musetalk_keeps_it(desk: Desk, preparation: str) -> None:
    """In MuseTalk's own folder: ``configs/inference/realtime.yaml`` names its film from two folders above."""
    desk.file = desk.folder / "configs/inference/realtime.yaml"
    film = desk.folder / "data/video/yongen.mp4"
    for path in (desk.file, film):
        path.parent.mkdir(parents=True)
    film.touch()
    desk.engines = (*ENGINES, "musetalk")
    (avatar,) = desk.read(MUSETALK.format(preparation=preparation)).avatars
    assert (avatar.engine, avatar.source) == ("musetalk", film)
    assert avatar.configured_source == "data/video/yongen.mp4"
    assert avatar.options == {"bbox_shift": 5}
    prepared = desk.folder / "results/v15/avatars/avator_1"
    prepared.mkdir(parents=True)
    assert desk.read(MUSETALK.format(preparation=preparation)).avatars[0].source == film
    (prepared / "latents.pt").touch()
    film.unlink(missing_ok=preparation == "False")
    if preparation == "False":
        (avatar,) = desk.read(MUSETALK.format(preparation="False")).avatars
        assert (avatar.source, avatar.configured_source) == (prepared, "data/video/yongen.mp4")
    else:
        assert "there is no file or folder 'data/video/yongen.mp4'" in desk.refusal(MUSETALK.format(preparation="True"))


def test_avatar_of_musetalk_keeps_an_engine_that_was_chosen(desk: Desk) -> None:
    desk.engines = (*ENGINES, "musetalk")
    body = "me: {video_path: me.jpg"
    assert desk.read(body + ", engine: portrait}").avatars[0].engine == "portrait"
    assert desk.read("defaults: {engine: portrait}\n" + body + "}").avatars[0].engine == "portrait"
    assert desk.read("defaults: {engine: auto}\n" + body + "}").avatars[0].engine == "musetalk"
    assert desk.read(body + "}", {"STUDIO_AVATARS_ME_ENGINE": "portrait"}).avatars[0].engine == "portrait"


@pytest.mark.parametrize("path", ['"a\\0b"', "1", "[a]", "''", "a" * 9000])
def test_film_that_is_no_path_is_told(desk: Desk, path: str) -> None:
    assert "avatars.yaml:1: me" in desk.refusal("me: {video_path: " + path + "}")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("servr: {port: 1}\n" + CARD, "avatars.yaml:1: servr: unknown key (did you mean server?); allowed: server, "),
        ("server:\n  prot: 1\n" + CARD, "avatars.yaml:2: server.prot: unknown key (did you mean port?); allowed: host"),
        ("server: {port: 70000}\n" + CARD, "avatars.yaml:1: server.port: must lie between 0 and 65535, not 70000"),
        ("server: {port: '80'}\n" + CARD, "avatars.yaml:1: server.port: must be a whole number, not '80'"),
        ("server: {port: true}\n" + CARD, "server.port: must be a whole number, not True"),
        ("server: {port: 80.5}\n" + CARD, "server.port: must be a whole number, not 80.5"),
        ("server: {host: 1}\n" + CARD, "server.host: must be a text (in quotes if it looks like a number), not 1"),
        ("server: {origins: x}\n" + CARD, "server.origins: must be a list of texts"),
        ("server: {origins: [shop.example]}\n" + CARD, "must be an origin such as https://shop.example"),
        ("server: {base: studio}\n" + CARD, "must be a path such as /studio"),
        ("server: [1]\n" + CARD, "avatars.yaml:1: server: must be a section with keys"),
        ("media: {codecs: [VP9]}\n" + CARD, "'VP9' must be one of VP8, H264"),
        ("media: {bitrate_bps: 100000}\n" + CARD, "bitrate_bps must lie between bitrate_min_bps and bitrate_max_bps"),
        ("media: {bitrate_bps: 1}\n" + CARD, "media.bitrate_bps: must lie between 50000 and 20000000, not 1"),
        (
            "server: {token: pst}\n" + CARD,
            "server.token: a secret does not belong here; use STUDIO_SERVER_TOKEN or ser",
        ),
        ("ice: {turn_secret: pst}\n" + CARD, "ice.turn_secret: a secret does not belong here; use STUDIO_ICE_TURN_SE"),
        ("ice: {turn: ['turn:a:1']}\n" + CARD, "turn needs a shared secret: STUDIO_ICE_TURN_SECRET or ice.turn_secret"),
        ("ice: {stun: [http://x]}\n" + CARD, "must be a URL such as stun:stun.example:3478"),
        ("ice: {gather_limit: .nan}\n" + CARD, "ice.gather_limit: must be a number, not nan"),
        ("limits: {message_bytes: 1}\n" + CARD, "limits.message_bytes: must lie between 16384 and 16777216, not 1"),
        (
            "limits: {upload_bytes: 50000000}\n" + CARD,
            "avatars.yaml:1: limits: upload_bytes, the room for all uploads, must hold at least one of video_bytes",
        ),
        ("avatars: 3", "avatars.yaml:1: avatars: must be a list of avatars"),
        ("avatars: []", "there are no avatars; add a list called avatars, each with an id and a source"),
        ("", "there are no avatars"),
        ("avatars:\n  - {name: x}", "avatars.yaml:2: avatars[0]: needs an id"),
        ("avatars:\n  - {id: Me, source: me.jpg}", "'Me' cannot be an id; use lower case letters, digits, - and _"),
        ("avatars:\n  - {id: ../x, source: me.jpg}", "'../x' cannot be an id"),
        ("avatars: [{id: 5, source: me.jpg}]", "avatars[0].id: must be a text"),
        (
            "avatars:\n  - id: me\n    sorce: me.jpg",
            "avatars.yaml:3: avatars[0].sorce: unknown key (did you mean source",
        ),
        ("avatars:\n  - id: me", "avatars.yaml:2: avatars[0]: needs source: a picture, or a folder"),
        (
            "avatars:\n  - {id: me, source: no.jpg}",
            "there is no file or folder 'no.jpg' (looked beside avatars.yaml and",
        ),
        ("avatars:\n  - {id: me, source: /no.jpg}", "there is no file or folder '/no.jpg'"),
        ("avatars:\n  - {id: me, engine: ditto}", "there is no engine 'ditto'; allowed: auto, portrait, testcard"),
        ("avatars: [{id: me, source: me.jpg}, {id: me, source: me.jpg}]", "avatars[1]"),
        ("defaults: {name: x}\n" + CARD, "avatars.yaml:1: defaults.name: unknown key"),
        ("server: {port: 1}\nserver: {port: 2}\n" + CARD, "avatars.yaml:2: server: is given twice"),
        ("a: [", "avatars.yaml:1: this is not YAML"),
        ("a: 1\n\tb: 2", "avatars.yaml:2: this is not YAML"),
        ("a: !!python/object/apply:os.system [ls]\n" + CARD, "avatars.yaml"),
        ("? [a]\n: 1", "avatars.yaml:1: a key must be a word"),
        ("x: " + "[" * 40 + "]" * 40, "nested too deeply"),
        ("a: &a [*a]\n" + CARD, "avatars.yaml"),
        ("server: {port: 2026-99-99}\n" + CARD, "server.port: '2026-99-99' is no value; put it in quotes"),
        ("server: {port: 0x_}\n" + CARD, "server.port: '0x_' is no value"),
        ('"\\r": 1\n' + CARD, r"avatars.yaml:1: '\r': unknown key"),
        (BOMB, "there is too much in this file"),
        ("- 1\n- 2", "must be a section with keys"),
    ],
)
def test_mistake_is_named_with_place_and_what_is_allowed(desk: Desk, text: str, complaint: str) -> None:
    assert complaint in desk.refusal(text)


def test_all_mistakes_are_told_at_once(desk: Desk) -> None:
    told = desk.refusal("server: {prot: 1, port: x}\nmedia: {codecs: [VP9]}\navatars: [{id: me}]").splitlines()
    assert len(told) == 4


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file; choose one with --config"):
        read_spec(tmp_path / "none.yaml", ENGINES, {})


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", b"a: \x00"])
def test_file_that_is_no_text_is_told(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "avatars.yaml"
    path.write_bytes(body)
    with pytest.raises(ConfigError, match=r"avatars\.yaml"):
        read_spec(path, ENGINES, {})


def test_environment_overrides_scalars_and_lists(desk: Desk) -> None:
    spec = desk.read(
        "avatars: [{id: me-too, source: me.jpg, name: A}]",
        {
            "STUDIO_SERVER_PORT": "9000",
            "STUDIO_SERVER_ORIGINS": "https://a.example, https://b.example",
            "STUDIO_ICE_GATHER_LIMIT": "2",
            "STUDIO_ICE_TURN_SECRET": "123",
            "STUDIO_CACHE": "/tmp/elsewhere",
            "STUDIO_AVATARS_ME_TOO_NAME": "1",
            "STUDIO_AVATARS_ME_TOO_PREPARATION": "true",
            "PATH": "/bin",
        },
    )
    assert spec.server.port == 9000
    assert spec.server.origins == ("https://a.example", "https://b.example")
    assert (spec.ice.gather_limit, spec.ice.turn_secret) == (2.0, "123")
    assert spec.cache == Path("/tmp/elsewhere")
    assert (spec.avatars[0].name, spec.avatars[0].preparation) == ("1", True)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("STUDIO_SERVER_PORT", "x", "STUDIO_SERVER_PORT: must be a whole number, not 'x'"),
        ("STUDIO_SERVER_PORT", "", "STUDIO_SERVER_PORT: must be a whole number"),
        ("STUDIO_SERVER_PRT", "1", "STUDIO_SERVER_PRT: unknown variable; allowed: STUDIO_SERVER_HOST"),
        ("STUDIO_AVATARS_CARD_PREPARATION", "maybe", "STUDIO_AVATARS_CARD_PREPARATION: must be true or false"),
        ("STUDIO_AVATARS_CARD_ENGINE", "x", "STUDIO_AVATARS_CARD_ENGINE: there is no engine 'x'"),
        ("STUDIO_MEDIA_CODECS", "VP8,AV1", "STUDIO_MEDIA_CODECS: 'AV1' must be one of VP8, H264"),
    ],
)
def test_mistake_in_the_environment_is_named(desk: Desk, name: str, value: str, complaint: str) -> None:
    assert complaint in desk.refusal(CARD, {name: value})


def test_operators_token_comes_from_a_file_or_the_environment_and_is_no_word(desk: Desk) -> None:
    (desk.folder / "token").write_text("a-token-of-some-length\n")
    assert desk.read("server: {token_file: token}\n" + CARD).server.token == "a-token-of-some-length"
    other = {"STUDIO_SERVER_TOKEN": "another-token-of-some-length"}
    assert desk.read("server: {token_file: token}\n" + CARD, other).server.token == "another-token-of-some-length"
    assert desk.refusal(CARD, {"STUDIO_SERVER_TOKEN": "hush"}).startswith("STUDIO_SERVER_TOKEN: the token has 16")


def test_turn_secret_comes_from_a_file(desk: Desk) -> None:
    (desk.folder / "secret").write_text("hush\n")
    spec = desk.read("ice: {turn: ['turn:a:1'], turn_secret_file: secret}\n" + CARD)
    assert spec.ice.turn_secret == "hush"


def test_anchors_and_merges_are_read(desk: Desk) -> None:
    spec = desk.read("""
        avatars:
          - &me {id: me, source: me.jpg, options: {expressiveness: 1.1}}
          - {<<: *me, id: you}
    """)
    assert spec.avatars[1].id == "you"
    assert spec.avatars[1].options == {"expressiveness": 1.1}


@pytest.mark.parametrize("key", sorted(RANGES))
def test_limits_are_allowed_and_what_lies_beyond_is_not(key: str) -> None:
    section, _, name = key.partition(".")
    default = getattr(SECTIONS[section](), name)
    low, high = (type(default)(limit) for limit in RANGES[key])
    complaints: list[str] = []
    for value in (low, high):
        assert checked(Given(value, "here"), default, key, complaints) == value
    assert complaints == []
    for value in (low - 1, high + 1):
        assert checked(Given(value, "here"), default, key, complaints) == default
    assert all(complaint.startswith("here: must lie between ") for complaint in complaints)
    assert len(complaints) == 2


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
near = st.dictionaries(
    st.sampled_from([*SECTIONS, "defaults", "cache", "avatars", "avator"]),
    trees
    | st.lists(st.dictionaries(st.sampled_from(["id", "source", "engine", "options", "video_path"]), trees), max_size=3)
    | st.dictionaries(st.sampled_from(["port", "host", "origins", "stun", "codecs", "sessions", "video_path"]), trees),
)


@given(tree=near | trees)
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_yaml_reads_or_is_refused_with_its_place(desk: Desk, tree: object) -> None:
    desk.file.write_text(yaml.safe_dump(tree, allow_unicode=True), "utf-8")
    try:
        spec = read_spec(desk.file, ENGINES, {}, desk.folder)
    except ConfigError as error:
        assert all(line.startswith(str(desk.file)) for line in error.message.splitlines() if line.strip())
    else:
        assert spec.avatars


@given(text=st.text(max_size=200))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_reads_or_is_refused(desk: Desk, text: str) -> None:
    desk.file.write_text(text, "utf-8", newline="")
    with pytest.raises(ConfigError):
        read_spec(desk.file, ENGINES, {}, desk.folder)


@pytest.mark.parametrize(
    ("python", "whole", "to_visitors"),
    [
        (f"{workplace()}/.venv/bin/python", f"{workplace()}/.venv/bin/python", ".venv/bin/python"),
        ("/home/ann b/bin/python3", "'/home/ann b/bin/python3'", "python3"),
    ],
)
def test_remedies_name_the_python_that_runs_and_visitors_learn_no_folder(
    monkeypatch: pytest.MonkeyPatch, python: str, whole: str, to_visitors: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    assert pip("onnx") == f"{whole} -m pip install onnx"
    assert pip_told("onnx") == f"{to_visitors} -m pip install onnx"
