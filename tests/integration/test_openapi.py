"""``/openapi.json`` against the running studio: every route is in it, each answer as it says, all limits the code's."""

from __future__ import annotations

import ast
import dataclasses
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from aiohttp.web import AbstractRoute
from aiortc import RTCPeerConnection
from openapi_spec_validator import validate

import studio as package
from studio.spec import ServerSpec
from studio.web.keys import HOST, LIBRARY
from studio.web.openapi import document
from studio.web.streams import KNOWN
from tests.clerk import Clerk
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.integration.rtmp_server import rtmp_server
from tests.reader import reader
from tests.unit.test_recording import wav

OTHERWISE = {
    "/": "the page",
    "/demo": "a page",
    "/static/{path}": "the pages' files",
    "/ws": "a WebSocket: docs/protocols.md",
    "/ws/{client_id}": "a WebSocket: docs/protocols.md",
    "/api/sessions/{id}/audio": "a WebSocket: docs/protocols.md",
}
"""Routes that the document leaves out, and why."""


@pytest.fixture
async def studio(tmp_path: Path, counting_peers: None) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=3, sound_bytes=65_536)) as one:
        yield one


@pytest.fixture
async def clerk(studio: Inside) -> Clerk:
    """Who has read the document."""
    async with studio.client.get(studio.url("/openapi.json")) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        return Clerk(studio, await answer.json())


def operations(told: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path and operation."""
    for path, item in told["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def test_families_files_are_all_in_the_document() -> None:
    names = {family.__name__.rpartition(".")[2] for family in document.FAMILIES}
    folder = {path.stem for path in Path(document.__file__).parent.glob("*.py")}
    assert names == folder - {"__init__", "document", "terms"}


async def test_document_is_openapi(clerk: Clerk) -> None:
    validate(clerk.told)
    assert clerk.told["openapi"].startswith("3.1.") and clerk.told["info"]["version"] == package.__version__


def is_preflight(route: AbstractRoute) -> bool:
    """Tell whether a route is no operation of ours but what aiohttp_cors adds to each for browsers."""
    return route.method == "OPTIONS" and route.handler.__module__.startswith("aiohttp_cors")


async def test_every_route_is_in_the_document_and_the_other_way_round(clerk: Clerk) -> None:
    routes = [route for route in clerk.studio.app.router.routes() if not is_preflight(route)]
    served = {(route.method, route.resource.canonical) for route in routes if route.resource}
    rest = {(method, path) for method, path in served if path not in OTHERWISE and method != "HEAD"}
    assert rest == {(method, path) for method, path, _ in operations(clerk.told)}
    assert set(OTHERWISE) <= {path for _, path in served}


async def test_examples_are_as_their_schemas_say(clerk: Clerk) -> None:
    judged = 0
    for _, _, operation in operations(clerk.told):
        bodies = [operation.get("requestBody", {}), *map(clerk.resolved, operation["responses"].values())]
        for content in (content for body in bodies for content in body.get("content", {}).values()):
            if "example" in content:
                clerk.judge(content["example"], content["schema"], strict=True)
                judged += 1
    assert judged > 10


LIMITS = frozenset({"minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"})


def test_limits_are_read_from_the_code_and_never_typed() -> None:
    """But for 0 and 1, which are no limits of anybody's choice."""
    wrong = []
    for file in Path(document.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            pairs = [(node.arg, node.value)] if isinstance(node, ast.keyword) else []
            if isinstance(node, ast.Dict):
                keys = (key.value if isinstance(key, ast.Constant) else None for key in node.keys)
                pairs = [(str(key), value) for key, value in zip(keys, node.values, strict=True)]
            wrong += [
                f"{file.name}:{value.lineno} {name}"
                for name, value in pairs
                if name in LIMITS and isinstance(value, ast.Constant) and value.value not in (0, 1)
            ]
    assert not wrong, "\n".join(wrong)


async def test_limits_are_where_the_document_says(clerk: Clerk) -> None:
    """The last value that is allowed passes the door, the next one does not; all values are the document's."""
    body = clerk.operation("POST", "/start_stream/a")["requestBody"]["content"]["application/json"]["schema"]
    wish = {"avatar_id": "nobody", "rtmp_url": "rtmp://127.0.0.1:1/live/key", "width": 64, "height": 64}
    ranges = {name: (one["minimum"], one["maximum"]) for name, one in body["properties"].items() if "minimum" in one}
    assert len(ranges) == 6 and set(body["properties"]) == set(KNOWN)
    for name, (low, high) in ranges.items():
        for value, status in ((low, 404), (high, 404), (low - 0.01, 400), (high + 1, 400)):
            answer = await clerk.ask("POST", "/start_stream/a", status, json=wish | {name: value})
            assert status == 404 or name in answer["detail"]
    longest = body["properties"]["rtmp_url"]["maxLength"]
    for more, status in ((0, 404), (1, 400)):
        url = "rtmp://127.0.0.1:1/live/".ljust(longest + more, "k")
        await clerk.ask("POST", "/start_stream/a", status, json=wish | {"rtmp_url": url})

    offer = clerk.operation("POST", "/offer")["requestBody"]["content"]["application/json"]["schema"]["properties"]
    for more, status in ((0, 400), (1, 413)):
        await clerk.ask("POST", "/offer", status, json={"sdp": "x" * (offer["sdp"]["maxLength"] + more)})
    for name in ("setup_kwargs", "run_kwargs"):
        many = {str(n): n for n in range(offer[name]["maxProperties"] + 1)}
        assert name in (await clerk.ask("POST", "/offer", 400, json={"sdp": "x", name: many}))["detail"]
    patch = clerk.operation("PATCH", "/offer")["requestBody"]["content"]["application/json"]["schema"]["properties"]
    for more, sentence in ((0, "ended"), (1, "list")):
        many_more = [None] * (patch["candidates"]["maxItems"] + more)
        answer = await clerk.ask("PATCH", "/offer", 400, json={"pc_id": "nobody", "candidates": many_more})
        assert sentence in answer["detail"]

    upload = clerk.operation("POST", "/upload")["requestBody"]["content"]["multipart/form-data"]["schema"]
    limit = upload["properties"]["audio"]["maxLength"]
    assert limit == 65_536, "this studio's own"
    for size, status in ((limit, 400), (limit + 1, 413)):
        await clerk.ask("POST", "/upload", status, data=form(audio=("a.wav", bytes(size))))


async def test_every_operation_refuses_who_may_not_ask(clerk: Clerk) -> None:
    for method, path, _ in operations(clerk.told):
        place = path.replace("{picture}", "still").replace("{id}", "ada")
        body = await clerk.ask(method, place, 403, headers={"Host": "evil.example"})
        assert body["error"]["code"] == "unauthorized"


async def test_fault_of_ours_is_as_the_document_says(clerk: Clerk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.web.health.memory_bytes", lambda: 1 / 0)
    assert (await clerk.ask("GET", "/metrics", 500))["error"]["code"] == "internal"


# What happens to each family: at least every success and one failure of each operation.


def form(**files: tuple[str, bytes]) -> aiohttp.FormData:
    """Return a form with files: field -> name and content."""
    data = aiohttp.FormData()
    for name, (filename, content) in files.items():
        data.add_field(name, content, filename=filename)
    return data


def recording(folder: Path) -> bytes:
    return wav(folder / "talk.wav", speech(0.8)).read_bytes()


def portrait() -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (128, 128, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


async def gallery(clerk: Clerk, folder: Path) -> None:
    avatars = (await clerk.ask("GET", "/api/avatars", 200))["avatars"]
    assert [one["id"] for one in avatars] == ["ada", "bob"]
    picture = await clerk.ask("GET", "/" + avatars[0]["thumbnail"], 200)
    assert picture.startswith(b"\xff\xd8")
    async with clerk.studio.client.get(clerk.studio.url("/api/avatars/ada/still")) as answer:
        tag = answer.headers["ETag"]
    await clerk.ask("GET", "/api/avatars/ada/still", 304, headers={"If-None-Match": tag})
    await clerk.ask("GET", "/api/avatars/nobody/still", 404)
    await clerk.ask("GET", "/api/avatars/ada/nonsense", 404)
    await clerk.ask("GET", "/api/sessions", 200)
    await clerk.ask("GET", "/api/ice-servers", 200)


async def added(clerk: Clerk, folder: Path) -> None:
    def me(id: str = "me") -> aiohttp.FormData:
        data = form(image=("me.png", portrait()))
        for name, value in (("id", id), ("engine", "testcard")):
            data.add_field(name, value)
        return data

    await clerk.ask("POST", "/api/avatars", 202, data=me())
    events = await clerk.ask("GET", "/api/avatars/me/events", 200)
    assert b"event: state" in events and b'"ready"' in events
    await clerk.ask("POST", "/api/avatars", 409, data=me())
    await clerk.ask("POST", "/api/avatars", 400, data=me("!"))
    await clerk.ask("POST", "/api/avatars", 415, data=form(image=("me.png", b"GIF")))
    assert (await clerk.ask("GET", "/api/avatars/me", 200))["state"] == "ready"
    await clerk.ask("DELETE", "/api/avatars/ada", 409)
    await clerk.ask("DELETE", "/api/avatars/me", 204)
    for method, path in (("GET", "/api/avatars/me"), ("GET", "/api/avatars/me/events"), ("DELETE", "/api/avatars/me")):
        await clerk.ask(method, path, 404)


async def operation(clerk: Clerk, folder: Path) -> None:
    for path in ("/health", "/healthz", "/readyz", "/metrics", "/metrics?gc"):
        await clerk.ask("GET", path, 200)
    async with clerk.studio.client.get(clerk.studio.url("/openapi.json")) as answer:
        tag = answer.headers["ETag"]
    await clerk.ask("GET", "/openapi.json", 304, headers={"If-None-Match": tag})
    await clerk.ask("GET", "/openapi.json", 200)
    clerk.studio.app[LIBRARY].shelves.clear()
    await clerk.ask("GET", "/readyz", 503)


async def uploads(clerk: Clerk, folder: Path) -> None:
    files = form(audio=("talk.wav", recording(folder)), source=("me.png", portrait()))
    paths = await clerk.ask("POST", "/upload?engine=testcard", 200, data=files)
    assert set(paths) == {"audio_path", "source_path"}
    await clerk.ask("POST", "/upload", 400, data=form(audio=("talk.wav", b"RIFF")))
    await clerk.ask("POST", "/upload", 413, data=form(audio=("talk.wav", bytes(70_000))))
    query = f"/api/portraits?source_path={paths['source_path']}&engine=testcard"
    await clerk.ask("GET", query, 200)
    await clerk.ask("GET", "/api/portraits?source_path=static/avatars/astronaut.png&engine=testcard", 200)
    await clerk.ask("GET", "/api/portraits?source_path=nobody.png", 404)
    await clerk.ask("GET", "/api/portraits", 404)
    await clerk.ask("GET", "/api/portraits?source_path=me.gif", 400)
    await clerk.ask("GET", query, 403, headers={"Sec-Fetch-Site": "cross-site"})


async def webrtc(clerk: Clerk, folder: Path) -> None:
    sound = await clerk.ask("POST", "/upload", 200, data=form(audio=("talk.wav", recording(folder))))
    pc = RTCPeerConnection()
    pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    body = {"sdp": pc.localDescription.sdp, "type": "offer", **sound, "engine": "testcard"}
    body |= {"source_path": "static/avatars/astronaut.png", "run_kwargs": {"frame_scale": 9}}
    for path in ("/webrtc/offer", "/offer", "/api/offer"):
        answer = await clerk.ask("POST", path, 200, json=body)
        assert answer["warnings"]
        patch = {"pc_id": answer["pc_id"], "candidates": [{"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0}, None]}
        await clerk.ask("PATCH", path, 200, json=patch)
        await clerk.ask("PATCH", path, 400, json={"pc_id": "nobody"})
        await clerk.ask("PATCH", path, 400, json={"pc_id": "nobody", "candidates": []})
        await clerk.ask("POST", path, 400, json={})
        await clerk.ask("POST", path, 404, json=body | {"source_path": None, "audio_path": None, "avatar_id": "nobody"}
                        ) if path != "/webrtc/offer" else None  # fmt: skip
        await clerk.ask("POST", path, 413, json=body | {"sdp": "x" * 100_001})
        await clerk.ask("POST", path, 413, data=io.BytesIO(b"x" * 1_200_000))
    await clerk.ask("POST", "/offer", 503, json=body)
    await clerk.ask("POST", "/webrtc/offer", 400, json=body | {"source_path": None})
    await clerk.ask("POST", "/webrtc/offer", 404, json=body | {"source_path": None, "avatar_id": "nobody"})
    await pc.close()
    await clerk.ask("POST", "/webrtc/offer", 400, json=body | {"source_path": "nobody.png"})


async def speech_family(clerk: Clerk, folder: Path) -> None:
    pc = RTCPeerConnection()
    pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    answer = await clerk.ask("POST", "/offer", 200, json={"sdp": pc.localDescription.sdp, "type": "offer"})
    say = f"/api/sessions/{answer['session_id']}/say"
    await clerk.ask("POST", say, 202, data=form(audio=("talk.wav", recording(folder))))
    await clerk.ask("POST", say, 415, data=form(audio=("talk.wav", b"RIFF")))
    await clerk.ask("POST", say, 413, data=form(audio=("talk.wav", bytes(70_000))))
    await clerk.ask("POST", say, 400, data=b"")
    await clerk.ask("POST", "/api/sessions/nobody/say", 404)
    await pc.close()


async def streams(clerk: Clerk, folder: Path) -> None:
    await clerk.ask("POST", "/start_stream/demo", 400, json={"rtmp_url": "rtmp://127.0.0.1/live/key"})
    wish = {"avatar_id": "ada", "rtmp_url": "rtmp://127.0.0.1:1/live/key"}
    await clerk.ask("POST", "/start_stream/demo", 502, json=wish)
    await clerk.ask("POST", "/start_stream/demo", 404, json=wish | {"avatar_id": "nobody"})
    await clerk.ask("DELETE", "/stop_stream/demo", 404)
    async with rtmp_server(folder) as server:
        body = {"avatar_id": "ada", "rtmp_url": server.url("key"), "nonsense": 1}
        assert (await clerk.ask("POST", "/start_stream/demo", 200, json=body))["warnings"]
        assert (await clerk.ask("GET", "/streams", 200))["count"] == 1
        await clerk.ask("DELETE", "/stop_stream/demo", 200)


async def broadcast(clerk: Clerk, folder: Path) -> None:
    viewer = reader(clerk.studio.client, clerk.studio.url("/whep/ada"))
    await viewer.open()
    (session_id,) = clerk.studio.app[HOST].sessions()
    await viewer.close()
    offer, types = await described(), {"Content-Type": "application/sdp"}
    for place in ("/whep/ada", f"/whip/{session_id}"):
        family = place[:5]
        await clerk.ask("OPTIONS", place, 204)
        await clerk.ask("POST", place, 415, data=b"x")
        await clerk.ask("POST", place, 400, data=b"x", headers=types)
        await clerk.ask("POST", place, 413, data=b"x" * 100_001, headers=types)
        await clerk.ask("POST", f"{family}/nobody", 404, data=offer, headers=types)
        async with clerk.studio.client.post(clerk.studio.url(place), data=offer, headers=types) as answer:
            operation = clerk.operation("POST", place)
            clerk.checked(operation, answer, await answer.read())
            clerk.seen.add((operation["operationId"], answer.status))
            connection, tag = answer.headers["Location"], answer.headers["ETag"]
        await clerk.ask("OPTIONS", connection, 204)
        types_of_fragment = {"Content-Type": "application/trickle-ice-sdpfrag"}
        for more, body, status in (
            ({}, "a=ice-ufrag:x", 428),
            ({"If-Match": '"x"'}, "a=ice-ufrag:x", 412),
            ({"If-Match": tag}, "a=ice-ufrag:x", 422),
            ({"If-Match": tag}, "nonsense", 400),
            ({"If-Match": tag}, "a=end-of-candidates", 204),
        ):
            await clerk.ask("PATCH", connection, status, data=body.encode(), headers=types_of_fragment | more)
        await clerk.ask("PATCH", connection, 415, data=b"x", headers=types)
        await clerk.ask("DELETE", connection, 200)
        await clerk.ask("DELETE", connection, 404)


async def described() -> bytes:
    """Return an offer that would send and receive."""
    pc = RTCPeerConnection()
    for kind in ("audio", "video"):
        pc.addTransceiver(kind, direction="sendrecv")
    await pc.setLocalDescription(await pc.createOffer())
    sdp: str = pc.localDescription.sdp
    await pc.close()
    return sdp.encode()


async def test_operators_routes_say_so(clerk: Clerk, tmp_path: Path) -> None:
    """With a token configured they want it from everybody who is not on this machine."""
    server = ServerSpec(token="0123456789abcdef")
    async with inside(dataclasses.replace(spec_of(tmp_path), server=server)) as guarded:
        strict = Clerk(guarded, clerk.told)
        told = [
            (method, path)
            for method, path, one in operations(clerk.told)
            if {"operator": []} in one.get("security", ())
        ]
        assert ("POST", "/start_stream/{id}") in told
        for method, path in told:
            place, foreign = path.replace("{id}", "demo"), {"X-Forwarded-For": "203.0.113.7"}
            await strict.ask(method, place, 401, headers=foreign)
            login = foreign | {"Authorization": "Bearer 0123456789abcdef"}
            async with guarded.client.request(method, guarded.url(place), headers=login) as answer:
                assert answer.status in (400, 404), await answer.text()


FAMILIES: dict[str, Callable[[Clerk, Path], Awaitable[None]]] = {
    "gallery": gallery,
    "avatars": added,
    "operation": operation,
    "uploads": uploads,
    "webrtc": webrtc,
    "speech": speech_family,
    "broadcast": broadcast,
    "streams": streams,
}
"""The document's tags."""


def test_every_family_is_asked() -> None:
    assert set(FAMILIES) == {family.TAG for family in document.FAMILIES}


@pytest.mark.parametrize("tag", FAMILIES)
async def test_answers_are_as_the_document_says(tag: str, clerk: Clerk, tmp_path: Path) -> None:
    await FAMILIES[tag](clerk, tmp_path)
    missing = []
    for _, _, one in operations(clerk.told):
        if tag in one["tags"]:
            seen = {status for id, status in clerk.seen if id == one["operationId"]}
            declared = {int(status) for status in one["responses"]} - {403, 500}
            missing += [f"{one['operationId']} {status}" for status in declared - seen if status < 400]
            if any(status >= 400 for status in declared) and not any(status >= 400 for status in seen):
                missing.append(f"{one['operationId']}: no error")
    assert not missing, f"nobody saw {missing}"
