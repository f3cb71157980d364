"""Streams to RTMP servers (wire contract D): ``/start_stream/{id}``, ``/stop_stream/{id}``, ``/streams``.

With a token configured only the operator starts and stops them. Answers in the shape that clients of such services
know: ``{"detail": sentence}`` where something went wrong.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from studio.beat import FPS
from studio.errors import BadMessage
from studio.jsontext import read_optional_text
from studio.outputs.destination import Destination, read_destination
from studio.outputs.flv import Shape
from studio.source import Recording, SoundCard, Source
from studio.streams import StreamCard, Streams
from studio.uploads import FileNotFound
from studio.web.bodies import read_json
from studio.web.forms import in_thread
from studio.web.guard import check_operator, in_detail, is_loopback, is_operator
from studio.web.keys import GUESTS, HOST, LIBRARY, SPEC, STATS
from studio.web.uploads import PREPARE_LIMIT, find_sound, invite

STREAMS = web.AppKey("STREAMS", Streams)
RANGES: Mapping[str, tuple[float, float]] = {
    "width": (64, 1920),
    "height": (64, 1920),
    "fps": (1, 60),
    "video_bitrate": (100_000, 20_000_000),
    "audio_bitrate": (16_000, 256_000),
    "key_frame_interval": (0.5, 10),
}
"""Lowest and highest value, both allowed; bits a second, and seconds between keyframes."""
PIXELS_PER_SECOND = 1280 * 720 * 30
"""More than this would cost as much as ten visits on one seat."""
TEXTS = ("source_path", "rtmp_url", "avatar_id", "audio_path")
FLAGS = ("loop", "sound_device")
KNOWN = (*TEXTS, *RANGES, *FLAGS)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the body of a start asks for."""

    destination: Destination
    shape: Shape
    source_path: str
    avatar_id: str
    audio_path: str
    loop: bool
    sound_device: bool
    warnings: tuple[str, ...]


def read_wish(body: object) -> Wish:
    """Read the body of ``POST /start_stream``.

    Raises:
        BadMessage: A field is missing, of a wrong type or out of range; the sentence repeats no value.
    """
    if not isinstance(body, dict):
        raise BadMessage("Send a JSON object with source_path and rtmp_url.")
    texts = {key: read_optional_text(body, key) for key in TEXTS}
    if not texts["rtmp_url"] or not (texts["source_path"] or texts["avatar_id"]):
        raise BadMessage("Send rtmp_url, and source_path or avatar_id.")
    loop, sound_device = (_flag(body, key) for key in FLAGS)
    if sound_device and texts["audio_path"]:
        raise BadMessage("Send audio_path or sound_device, not both.")
    warnings = tuple(f"{str(key)[:40]} is not known and was ignored." for key in body if key not in KNOWN)[:8]
    return Wish(
        read_destination(texts["rtmp_url"]), _shape(body), texts["source_path"], texts["avatar_id"],
        texts["audio_path"], loop, sound_device, warnings,
    )  # fmt: skip


def _flag(body: Mapping[str, object], key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise BadMessage(f"{key} must be true or false.")
    return value


def _shape(body: Mapping[str, object]) -> Shape:
    usual = Shape()
    shape = Shape(
        round(_number(body, "width", usual.width)),
        round(_number(body, "height", usual.height)),
        round(_number(body, "fps", usual.fps)),
        round(_number(body, "video_bitrate", usual.video_bps)),
        round(_number(body, "audio_bitrate", usual.audio_bps)),
        _number(body, "key_frame_interval", usual.key_frame_seconds),
    )
    if shape.width % 2 or shape.height % 2:
        raise BadMessage("width and height must be even.")
    if shape.width * shape.height * shape.fps > PIXELS_PER_SECOND:
        raise BadMessage(f"That is too large a picture. 1280 x 720 at 30 pictures a second, or at {FPS}, will do.")
    return shape


def _number(body: Mapping[str, object], key: str, usual: float) -> float:
    value = body.get(key)
    if value is None:
        return usual
    low, high = RANGES[key]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= float(str(value)) <= high:
        unit = " seconds" if key == "key_frame_interval" else ""
        raise BadMessage(f"{key} must be a number from {low:g} to {high:g}{unit}.".replace("e+0", "e"))
    return float(str(value))


@in_detail
async def start_stream(request: web.Request) -> web.Response:
    """Answer ``POST /start_stream/{id}`` when the stream is live."""
    app, name = request.app, request.match_info["id"]
    check_operator(request, is_open=not app[SPEC].server.token)
    wish = read_wish(await read_json(request))
    app[STREAMS].check_free(name)
    try:
        avatar_id = wish.avatar_id or await _avatar_of(app, wish.source_path)
        source = await _source(app, wish)  # before the long wait
        await app[GUESTS].ready(avatar_id, PREPARE_LIMIT)
    except FileNotFound as error:
        raise BadMessage(error.message) from error
    session_id = await app[STREAMS].start(name, avatar_id, wish.destination, wish.shape, source)
    body = {
        "message": f"Stream {name} started",
        "rtmp_url": str(wish.destination),
        "session_id": session_id,
        "avatar_id": avatar_id,
    }
    return web.json_response(body | ({"warnings": wish.warnings} if wish.warnings else {}))


async def _source(app: web.Application, wish: Wish) -> Source | None:
    """Return what is spoken; None: nothing, until somebody speaks into the session."""
    if wish.sound_device:
        if not app[SPEC].rtmp.sound_device:
            raise BadMessage("This studio has no sound device for streams. Send audio_path, or name one in rtmp.")
        card = SoundCard(app[SPEC].rtmp.sound_device)
        await in_thread(app, card.check)
        return card
    if not wish.audio_path:
        return None
    sound = await find_sound(app, wish.audio_path)
    return Recording.of_file(sound.path, sound.container, app[SPEC].limits.sound_seconds, wish.loop)


async def _avatar_of(app: web.Application, source_path: str) -> str:
    """Return the configured avatar that has this source, or is called so, else the portrait that the path names."""
    for id, shelf in app[LIBRARY].shelves.items():
        if source_path in (id, shelf.spec.configured_source):
            return id
    return await invite(app, source_path)


@in_detail
async def stop_stream(request: web.Request) -> web.Response:
    """Answer ``DELETE /stop_stream/{id}`` when everything was sent."""
    name = request.match_info["id"]
    check_operator(request, is_open=not request.app[SPEC].server.token)
    await request.app[STREAMS].stop(name)
    return web.json_response({"message": f"Stream {name} stopped"})


async def list_streams(request: web.Request) -> web.Response:
    """Answer ``GET /streams``; sessions' ids, with which one could speak in them, are told to the operator only."""
    tells_ids = is_operator(request)
    cards = request.app[STREAMS].cards()
    ids = [card.id for card in cards]
    return web.json_response(
        {"active_streams": ids, "count": len(ids), "streams": [_row(card, tells_ids) for card in cards]}
    )


def _row(card: StreamCard, tells_ids: bool) -> dict[str, object]:
    reading = card.reading
    return ({"session_id": card.session_id} if tells_ids else {}) | {
        "id": card.id,
        "state": str(reading.stage),
        "frames": reading.frames,
        "fps": round(reading.fps, 1),
        "bitrate": round(reading.bitrate_bps),
        "reconnects": reading.reconnects,
        "uptime_s": round(reading.uptime, 1),
        "dropped": reading.dropped,
        "avatar_id": card.avatar_id,
        "rtmp_url": card.destination,
    }


async def _streams(app: web.Application) -> AsyncIterator[None]:
    spec = app[SPEC]
    app[STREAMS] = Streams(app[HOST], spec.rtmp, is_loopback(spec.server.host), app[STATS])
    yield
    await app[STREAMS].aclose()


def add_streams(app: web.Application) -> None:
    """Add the routes; after the session host, on which streams depend."""
    base = app[SPEC].server.base
    app.router.add_post(base + "/start_stream/{id}", start_stream)
    app.router.add_delete(base + "/stop_stream/{id}", stop_stream)
    app.router.add_get(base + "/streams", list_streams)
    app.cleanup_ctx.append(_streams)
