"""The command line as a person uses it: exit codes, sentences, files. Real processes where that is the point."""

from __future__ import annotations

import socket
import subprocess
import sys
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import yaml

from studio.cli import main
from studio.cli.prepare import quoted
from studio.config import home, read_spec
from studio.engine import ENGINES

PHOTO = home() / "static" / "avatars" / "astronaut.png"


class Desk:
    """A folder with a configuration, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.config = folder, folder / "avatars.yaml"
        self.write({"cache": str(folder.parent / "cli"), "avatars": [{"id": "card", "engine": "testcard"}]})

    def write(self, content: dict[str, object]) -> None:
        """Write the configuration."""
        self.config.write_text(yaml.safe_dump(content))

    def sound(self, seconds: float = 0.6) -> Path:
        """Write a buzz."""
        path = self.folder / "speech.wav"
        t = np.arange(int(seconds * 16_000)) / 16_000
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16_000, 0, "NONE", ""))
            file.writeframes((8_000 * np.sign(np.sin(2 * np.pi * 150 * t))).astype(np.int16).tobytes())
        return path

    def run(self, command: str, *arguments: str | Path) -> int:
        """Run a command with this desk's configuration, in this process."""
        return main([command, "--config", str(self.config), *map(str, arguments)])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def drawn(desk: Desk) -> Path:
    """A character of the house; reading one is quicker than finding a face."""
    folder = home() / "static" / "avatars" / "robot"
    desk.write({
        "cache": str(desk.folder.parent / "cli"),
        "avatars": [{"id": "robot", "source": str(folder)}, {"id": "card", "engine": "testcard"}],
    })  # fmt: skip
    return folder


def process(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the program."""
    command = [sys.executable, str(home() / "start_studio.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=cwd)


def test_render_makes_a_film_and_says_how_fast(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    film = desk.folder / "out.mp4"
    assert desk.run("render", "--avatar", "card", "--audio", desk.sound(), "--output", film) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{film}: 0.6 s, real-time factor 0.")
    assert "of 0.6 s" in err
    with av.open(str(film)) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        assert container.streams.video[0].frames == 15
    assert list(desk.folder.glob("*.part")) == []


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--avatar", "nobody", "there is no avatar called 'nobody'; there are: card"),
        ("--audio", "missing.wav", "--audio: there is no sound file missing.wav"),
        ("--output", "film.avi", "--output: film.avi is no name for a film; it ends in .mp4"),
        ("--output", "/nowhere/film.mp4", "--output: there is no folder /nowhere"),
        ("--debug-curves", "curves.jpg", "--debug-curves: curves.jpg is no name for a picture; it ends in .png"),
    ],
)
def test_render_refuses_what_cannot_be(
    desk: Desk, capsys: pytest.CaptureFixture[str], option: str, value: str, complaint: str
) -> None:
    given = {"--avatar": "card", "--audio": str(desk.sound()), "--output": str(desk.folder / "out.mp4"), option: value}
    assert desk.run("render", *(word for pair in given.items() for word in pair)) == 2
    assert complaint in capsys.readouterr().err
    assert not (desk.folder / "out.mp4").exists()


def test_render_of_nothing_says_what_there_is(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("render", "--avatar", "card", "--audio", desk.sound()) == 2
    assert "render makes a film (--output OUT.mp4), a plot (--debug-curves OUT.png), or both" in capsys.readouterr().err


def test_debug_curves_are_drawn_for_portraits_only(desk: Desk, drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot = desk.folder / "curves.png"
    assert desk.run("render", "--avatar", "robot", "--audio", desk.sound(), "--debug-curves", plot) == 0
    assert f"is drawn in {plot}" in capsys.readouterr().out
    drawn_curves = cv2.imread(str(plot))
    assert drawn_curves is not None
    assert drawn_curves.shape[1] > 15 * 6  # six pixels a beat, and the names
    assert desk.run("render", "--avatar", "card", "--audio", desk.sound(), "--debug-curves", plot) == 1
    assert "Only portraits" in capsys.readouterr().err


def test_render_of_no_sound_is_a_sentence(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    text = desk.folder / "speech.wav"
    text.write_text("no sound")
    assert desk.run("render", "--avatar", "card", "--audio", text, "--output", desk.folder / "out.mp4") == 1
    assert "Traceback" not in capsys.readouterr().err
    assert sorted(path.name for path in desk.folder.iterdir()) == ["avatars.yaml", "speech.wav"]


def test_prepare_of_a_photo_reports_and_gives_the_lines_for_the_gallery(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert desk.run("prepare", "--image", PHOTO, "--id", "me-2", "--name", "It's me: 2") == 0
    out = capsys.readouterr().out
    assert "It's me: 2 is prepared" in out
    assert "\nGood:\n  - The face is " in out
    assert f"add these lines at the end of {desk.config}" in out
    lines = out[out.index("  - id:") :]
    assert len(lines.splitlines()) == 3
    desk.config.write_text(f"avatars:\n{lines}")
    (avatar,) = read_spec(desk.config, ENGINES, {}).avatars
    assert (avatar.id, avatar.name, avatar.source) == ("me-2", "It's me: 2", PHOTO)


def test_prepare_of_a_configured_avatar_draws_its_sheet(
    desk: Desk, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = desk.folder / "sheet.png"
    assert desk.run("prepare", "--id", "robot", "--sheet", sheet) == 0
    out = capsys.readouterr().out
    assert "robot is prepared" in out
    assert str(sheet) in out
    assert "gallery" not in out
    picture = cv2.imread(str(sheet))
    assert picture is not None
    assert picture.shape[0] >= 1_000
    assert desk.run("prepare", "--id", "robot", "--image", drawn) == 0
    assert "gallery" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--id", "nobody"), 2, "there is no avatar called 'nobody'; there are: card"),
        (("--id", "../x", "--image", str(PHOTO)), 2, "--id: '../x' cannot be an id; use lower case letters"),
        (("--id", "me", "--image", "missing.jpg"), 2, "--image: there is no file or folder missing.jpg"),
        (("--id", "me", "--image", "x" * 300), 2, "File name too long"),
        (("--id", "card", "--image", str(PHOTO)), 2, "already has an avatar called 'card'; choose another id"),
        (("--id", "card", "--sheet", "sheet.jpg"), 2, "--sheet: sheet.jpg is no name for a picture"),
        (("--id", "card", "--sheet", "/tmp/sheet.png"), 1, "Only portraits have such a picture."),
        (("--id", "me", "--image", __file__), 1, "is not a picture. Use a JPEG, PNG, WebP, GIF or BMP file."),
    ],
)
def test_prepare_refuses_in_words(
    desk: Desk, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    assert desk.run("prepare", *arguments) == code
    assert complaint in capsys.readouterr().err


def test_refused_photo_leaves_nothing_in_the_cache(desk: Desk) -> None:
    desk.write({"cache": str(desk.folder / "cache"), "avatars": [{"id": "card", "engine": "testcard"}]})
    assert desk.run("prepare", "--id", "me", "--image", __file__) == 1
    assert [path for path in (desk.folder / "cache").rglob("*") if path.is_file()] == []


def test_check_tells_what_runs_and_what_is_missing(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("check") == 0
    rows = {
        line[5:].split("  ")[0]: line for line in capsys.readouterr().out.splitlines() if line[:3] in ("yes", "no ")
    }
    assert rows["python"].startswith("yes")
    assert "testcard" in rows["avatar card"]
    assert {"aiohttp", "face models", "compiled kernels", "cache", "cores"} <= set(rows)


@pytest.mark.parametrize("command", [("serve",), ("check",), ("prepare", "--id", "x"), ()])
def test_wrong_configuration_is_named_with_exit_code_2(desk: Desk, command: tuple[str, ...]) -> None:
    desk.config.write_text("server:\n  prot: 80\navatars: [{id: card, engine: testcard}]\n")
    result = process(*command, "--config", desk.config)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.strip() == (
        f"{desk.config}:2: server.prot: unknown key (did you mean port?); "
        "allowed: host, port, origins, base, tls_cert, tls_key, visitors_add_avatars, token_file"
    )


def test_wrong_option_of_an_engine_is_a_configuration_mistake(desk: Desk) -> None:
    desk.write({
        "cache": str(desk.folder / "cache"), "avatars": [{"id": "me", "source": str(PHOTO), "engine": "portrait",
        "options": {"expresiveness": 1}}],
    })  # fmt: skip
    result = process("--config", desk.config, "--port", "0")
    assert result.returncode == 2
    assert "avatars: me: A portrait has one option: expressiveness" in result.stderr
    assert "Traceback" not in result.stderr


def test_taken_port_is_told_before_anything_is_prepared(desk: Desk) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = process("--config", desk.config, "--port", str(port))
    assert result.returncode == 1
    assert result.stderr.strip() == (
        f"Port {port} on 127.0.0.1 cannot be used (Address already in use). Choose another with --port."
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--port", "99999"), "'99999' is not a port"),
        (("--nonsense",), "unrecognized arguments: --nonsense"),
        (("render", "--avatar", "x"), "the following arguments are required: --audio"),
        (("--config", "/nowhere.yaml"), "/nowhere.yaml: there is no such file; choose one with --config"),
    ],
)
def test_wrong_usage_ends_with_exit_code_2(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], complaint: str
) -> None:
    try:
        code = main(arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert complaint in capsys.readouterr().err


def test_host_that_is_none_of_ours_is_told(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert desk.run("serve", "--host", "192.0.2.1", "--port", "0") == 1
    assert "192.0.2.1" in capsys.readouterr().err


def test_help_shows_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        main(["--help"])
    assert ending.value.code == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("serve", "render", "prepare", "check", "test"))


def test_options_after_test_are_pytests() -> None:
    result = process("test", "-q", "--collect-only", "tests/unit/test_layers.py")
    assert result.returncode == 0, result.stderr
    assert "test_layers.py" in result.stdout


def test_output_that_nobody_reads_is_no_error(desk: Desk) -> None:
    """``check | head -1``."""
    command = f"{sys.executable} {home() / 'start_studio.py'} check --config {desk.config} | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert result.stderr == ""


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("Mira", "Mira"), ("static/avatars/me.jpg", "static/avatars/me.jpg"), ("No", '"No"'), ("1", '"1"'),
        ("a: b", '"a: b"'), ("", '""'), ("x #y", '"x #y"'), ("- a", '"- a"'), ("/a b/c.png", "/a b/c.png"),
    ],
)  # fmt: skip
def test_texts_are_quoted_where_yaml_needs_it(text: str, written: str) -> None:
    assert quoted(text) == written
    assert yaml.safe_load(written) == text
