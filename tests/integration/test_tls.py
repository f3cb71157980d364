"""HTTPS without a proxy: a real handshake, a certificate that is renewed, and files that cannot be used."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from studio.errors import ConfigError
from studio.spec import ServerSpec
from studio.web.tls import certificate_of
from tests.server import ROOT, free_port, studio


def make_certificate(folder: Path, name: str = "cert") -> tuple[Path, Path]:
    """Write a certificate for 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, key_pem = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_pem.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return pem, key_pem


async def test_studio_serves_https_and_sockets_and_reads_a_renewed_certificate(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    config = {"avatars": [{"id": "ada", "engine": "testcard"}], "cache": str(tmp_path / "cache")}
    more = ("--tls-cert", str(cert), "--tls-key", str(key))
    async with studio(tmp_path, config, more=more) as server:
        trusts = ssl.create_default_context(cafile=str(cert))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusts)) as client:
            url = f"https://127.0.0.1:{server.port}"
            async with client.get(f"{url}/readyz") as response:
                assert response.status == 200
            origin = {"Origin": url}
            async with client.ws_connect(f"wss://127.0.0.1:{server.port}/ws", headers=origin) as socket:
                await socket.send_str(json.dumps({"type": "get_avatars"}))
                assert json.loads((await socket.receive()).data)["avatars"][0]["id"] == "ada"
        assert (tmp_path / "server.log").read_text().count("https://localhost:") == 1
        with pytest.raises(aiohttp.ClientError):
            async with aiohttp.ClientSession() as plain, plain.get(f"http://127.0.0.1:{server.port}/readyz"):
                pass
        assert await common_name(server.port) == "cert"
        renewed, renewed_key = make_certificate(tmp_path, "renewed")
        key.write_bytes(renewed_key.read_bytes())  # half renewed: does not fit the certificate yet
        server.child.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        assert await common_name(server.port) == "cert"
        cert.write_bytes(renewed.read_bytes())
        server.child.send_signal(signal.SIGHUP)
        await asyncio.sleep(0.3)
        assert await common_name(server.port) == "renewed"


async def common_name(port: int) -> str:
    """Return whom a server says that it is."""
    blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=blind)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return str(x509.load_der_x509_certificate(shown).subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def test_files_that_cannot_be_used_get_a_sentence(tmp_path: Path) -> None:
    cert, key = make_certificate(tmp_path)
    _, other = make_certificate(tmp_path, "other")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    assert certificate_of(ServerSpec()) is None
    for server, word in (
        (ServerSpec(tls_cert=str(cert), tls_key=str(other)), "belong together"),
        (ServerSpec(tls_cert=str(nonsense)), "PEM"),
        (ServerSpec(tls_cert=str(cert)), "PEM"),
        (ServerSpec(tls_cert=str(tmp_path / "missing.pem"), tls_key=str(key)), "cannot be read"),
        (ServerSpec(tls_key=str(key)), "needs tls_cert"),
    ):
        with pytest.raises(ConfigError, match=word):
            certificate_of(server)


def test_command_line_refuses_before_it_listens(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("avatars: [{id: ada, engine: testcard}]")
    command = [sys.executable, "start_studio.py", "--config", str(tmp_path / "a.yaml"), "--port", str(free_port())]
    done = subprocess.run(
        [*command, "--tls-cert", str(tmp_path / "none.pem")], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2 and "none.pem" in done.stderr and "Traceback" not in done.stderr
