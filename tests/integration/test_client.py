"""The client against a real studio by each of its ways."""

from __future__ import annotations

import asyncio
import json
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from studio.cli import main
from studio.client.door import Door
from studio.client.order import Order
from tests.fakes import speech
from tests.server import ROOT, Server, studio
from tests.unit.test_recording import wav

SECONDS = 1.4
PICTURES = 35
HEADER = struct.Struct("!IdI")
WEBP = cv2.imencode(".webp", np.zeros((64, 64, 3), np.uint8))[1].tobytes()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A studio in a process of its own, with a test card, for all tests of this file."""
    folder = tmp_path_factory.mktemp("client")
    avatars = [
        {"id": "card", "name": "Card", "source": str(ROOT / "static/avatars/astronaut.png"), "engine": "testcard"}
    ]
    config = {"cache": str(folder / "cache"), "limits": {"sessions": 3}, "avatars": avatars}
    with asyncio.Runner() as runner:
        house = studio(folder, config, more=("--skip-checks",))
        one = runner.run(house.__aenter__())
        try:
            yield one
        finally:
            runner.run(house.__aexit__(None, None, None))


@pytest.fixture(autouse=True)
def lips_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test card has none, and finding that out takes seconds."""
    monkeypatch.setattr("studio.client.lips.LEAST", 1_000_000)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wav(tmp_path_factory.mktemp("sound") / "talk.wav", speech(SECONDS))


def asked(server: Server, tmp_path: Path, *words: object) -> tuple[int, dict[str, Any]]:
    """Run the command and return its exit code and numbers."""
    path = tmp_path / "out.json"
    code = main(["client", "--server", server.http, "--json", str(path), *map(str, words)])
    return code, json.loads(path.read_text("utf-8"))


@pytest.mark.parametrize(("transport", "ending", "codec"), [("binary", ".webm", "vp8"), ("json", ".mp4", "h264")])
def test_frames_are_measured_saved_and_filmed(
    server: Server, sound: Path, tmp_path: Path, transport: str, ending: str, codec: str
) -> None:
    film, report = tmp_path / f"film{ending}", tmp_path / "report.html"
    code, found = asked(
        server, tmp_path, "--transport", transport, "--audio_path", sound, "--save_frames", tmp_path / "frames",
        "--record-file", film, "--report", report, "--frame-scale", 0.5,
    )  # fmt: skip
    assert found["frames"] | {"received": PICTURES, "expected": PICTURES, "width": 256, "broken": 0} == found["frames"]
    assert found["outcome"] == "completed"
    assert found["intervals_ms"]["count"] == PICTURES - 1
    assert found["av_offset_ms"]["count"] == PICTURES
    assert "few" in found["lips"]["reason"]
    assert code == found["exit_code"] == (0 if found["passed"] else 1)
    assert len(list((tmp_path / "frames").glob("frame_*.webp"))) == PICTURES
    with av.open(str(film)) as opened:
        assert opened.streams.video[0].codec_context.name == codec
        assert sum(1 for _ in opened.decode(video=0)) == PICTURES
    assert "<svg" in report.read_text("utf-8")


def test_avatar_hears_a_microphone_over_webrtc(
    server: Server, sound: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = asked(server, tmp_path, "--avatar", "card", "--audio_path", sound)
    assert found["frames"]["codec"] == "VP8"
    assert found["frames"]["received"] >= 25 * (SECONDS + 1)
    assert found["frames"]["decoded"] >= found["frames"]["received"] - 2
    assert found["bytes"]["audio"] > 1000
    assert found["av_offset_ms"]["count"] > 25  # how large it is, is the machine's load: see the unit tests
    assert "few" in found["lips"]["reason"]
    assert code == found["exit_code"] in (0, 1)
    said = capsys.readouterr()
    assert "Pictures a second" in said.out
    assert "pictures" in said.err  # the live line


def test_portrait_recites_over_webrtc(server: Server, sound: Path, tmp_path: Path) -> None:
    code, found = asked(
        server, tmp_path, "--source_path", ROOT / "static/avatars/astronaut.png", "--audio_path", sound,
        "--engine", "testcard", "--sampling-timesteps", 3, "--record-file", tmp_path / "a.mp4",
    )  # fmt: skip
    assert found["outcome"] == "completed"
    assert found["frames"]["received"] >= PICTURES
    assert any("sampling_timesteps" in remark for remark in found["remarks"])
    assert {"upload", "prepare", "connect"} == {name for name, value in found["timings_s"].items() if value is not None}
    assert code in (0, 1)
    with av.open(str(tmp_path / "a.mp4")) as opened:
        assert {stream.type for stream in opened.streams} == {"audio", "video"}


def test_time_that_is_up_and_paths_of_the_server(server: Server, tmp_path: Path) -> None:
    code, found = asked(server, tmp_path, "--timeout", 1)
    assert found["outcome"] == "timeout"
    assert code in (0, 1)
    for transport in ("json", "webrtc"):
        missing = ["--transport", transport, "--audio_path", "uploads/none.wav"]
        assert main(["client", "--server", server.http, *missing]) == 2


def test_avatar_recites_a_sound_of_the_servers(server: Server, sound: Path, tmp_path: Path) -> None:
    async def uploaded() -> object:
        async with Door(Order(server.http)) as door:
            return (await door.upload({"audio": sound}))["audio_path"]

    code, found = asked(server, tmp_path, "--audio_path", asyncio.run(uploaded()))
    assert found["outcome"] == "completed"
    assert found["frames"]["received"] >= PICTURES
    assert code in (0, 1)


def test_interrupted_client_tells_what_came(server: Server, sound: Path, tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    child = subprocess.Popen(
        [sys.executable, "start_studio.py", "client", "--server", server.http, "--json", str(path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert child.stderr is not None
    try:
        line = child.stderr.readline()
        while "pictures" not in line:
            assert line, child.communicate()
            line = child.stderr.readline()
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=20)
    finally:
        child.kill()
    assert child.returncode == 130, err
    assert "Ctrl-C" in out
    assert json.loads(path.read_text("utf-8"))["outcome"] == "interrupted"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("--server", "http://127.0.0.1:9"), "Nobody answers"),
        (("--server", "ftp://x"), "no address"),
        (("--avatar", "nobody"), "refused"),
        (("--avatar", "nobody", "--transport", "binary", "--audio_path", "SOUND"), "no avatar"),
        (("--audio_path", "README.md"), "cannot be read"),
        (
            ("--audio_path", "tlak.wav"),
            "tlak.wav: neither a file on this machine nor known to the server.",
        ),
        (("--audio_path", "tlak.wav", "--transport", "json"), "--audio_path tlak.wav: neither a file on this machine"),
        (("--audio_path", "SOUND", "--source_path", "em.png"), "--source_path em.png: neither a file on this machine"),
        (("--audio_path", "talk"), "--audio_path talk: neither a file on this machine nor known to the server."),
        (("--audio_path", "tlak.wav", "--source_path", "em.png"), "tlak.wav and --source_path em.png: neither is a"),
        (("--tls-ca", "README.md"), "--tls-ca"),
    ],
)
def test_what_cannot_be_measured_is_said_and_is_two(
    server: Server, sound: Path, words: tuple[str, ...], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(sound) if word == "SOUND" else word for word in words]
    assert main(["client", "--server", server.http, *given]) == 2
    assert part in capsys.readouterr().err
