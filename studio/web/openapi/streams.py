"""The RTMP streams' routes."""

from __future__ import annotations

from collections.abc import Iterator

from studio.errors import (
    AvatarNotFound,
    AvatarNotReady,
    BadAudio,
    BadJson,
    BadMessage,
    BadPortrait,
    OperatorOnly,
    StudioFull,
    TooLarge,
)
from studio.outputs.destination import MASK, MAX_URL, RtmpRefused
from studio.outputs.flv import Shape
from studio.outputs.meter import Stage
from studio.spec import StudioSpec
from studio.streams import NAME, StreamNotFound
from studio.web.openapi.terms import (
    Content,
    Json,
    Operation,
    Reply,
    flag,
    in_path,
    many,
    number,
    record,
    text,
    whole,
    within,
)
from studio.web.openapi.uploads import SOUND_PATH
from studio.web.streams import RANGES

TAG = "streams"
ABOUT = "Avatars that are sent to RTMP servers, with or without a recording to speak."

USUAL = Shape()
ID = in_path("id", "The stream's name, chosen by whoever starts it.", text(pattern=f"^{NAME.pattern}$"))
START: Json = {
    "avatar_id": text("One of the gallery."),
    "source_path": text("Instead: a portrait's path, or an avatar's source."),
    "audio_path": SOUND_PATH,
    "loop": flag("Speak the recording again and again.", default=False),
    "sound_device": flag(
        "Speak what this machine's microphone hears; `rtmp.sound_device` must name it.", default=False
    ),
    "width": number("Even.", **within(RANGES["width"]), default=USUAL.width),
    "height": number("Even.", **within(RANGES["height"]), default=USUAL.height),
    "fps": number("Pictures a second.", **within(RANGES["fps"]), default=USUAL.fps),
    "video_bitrate": number("Bits a second.", **within(RANGES["video_bitrate"]), default=USUAL.video_bps),
    "audio_bitrate": number("Bits a second.", **within(RANGES["audio_bitrate"]), default=USUAL.audio_bps),
    "key_frame_interval": number("Seconds.", **within(RANGES["key_frame_interval"]), default=USUAL.key_frame_seconds),
}
CARD: Json = record(
    {
        "id": text(),
        "state": text(enum=[str(stage) for stage in Stage]),
        "frames": whole("Sent.", minimum=0),
        "fps": number("Of the last seconds.", minimum=0),
        "bitrate": whole("Bits a second.", minimum=0),
        "reconnects": whole(minimum=0),
        "uptime_s": number(minimum=0),
        "dropped": whole("Pictures given up.", minimum=0),
        "avatar_id": text(),
        "rtmp_url": text("Without its key."),
    },
    {"session_id": text("Whoever knows it may speak in the stream: told to the operator only.")},
)
STOPPED = "Stream demo stopped"
URL = f"rtmp://127.0.0.1/live/{MASK}"


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    yield _start()
    yield Operation(
        "stopStream", "DELETE", "/stop_stream/{id}", TAG, "Stop a stream",
        {200: Reply("Everything was sent.", Content(record({"message": text()}, example={"message": STOPPED})))},
        parameters=(ID,),
        raises=(StreamNotFound, OperatorOnly),
        in_detail=True,
    )  # fmt: skip
    example = {
        "id": "demo", "state": "live", "frames": 250, "fps": 25.0, "bitrate": 612000, "reconnects": 0,
        "uptime_s": 10.0, "dropped": 0, "avatar_id": "mira", "rtmp_url": URL, "session_id": "mN3xVq0c9dXyZp_A",
    }  # fmt: skip
    listed = record({"active_streams": many(text()), "count": whole(minimum=0), "streams": many(CARD)})
    yield Operation(
        "listStreams", "GET", "/streams", TAG, "List the streams",
        {200: Reply("The streams.", Content(
            listed, example={"active_streams": ["demo"], "count": 1, "streams": [example]}))},
    )  # fmt: skip


def _start() -> Operation:
    url = text("`rtmp://server/app/key` or `rtmps://...`. The key is told to nobody.", maxLength=MAX_URL)
    body = record({"rtmp_url": url}, START, anyOf=[{"required": ["avatar_id"]}, {"required": ["source_path"]}])
    answer = record(
        {"message": text(), "rtmp_url": text("Without its key."), "session_id": text(), "avatar_id": text()},
        {"warnings": many(text(), "What was not known.")},
    )
    given = {"message": "Stream demo started", "rtmp_url": URL, "session_id": "mN3xVq0c9dXyZp_A", "avatar_id": "mira"}
    return Operation(
        "startStream", "POST", "/start_stream/{id}", TAG, "Start a stream",
        {200: Reply("It is live.", Content(answer, example=given))},
        about="Answers when the server has taken the stream, or says why not.",
        parameters=(ID,),
        body=Content(body, example={"avatar_id": "mira", "rtmp_url": "rtmp://127.0.0.1/live/key"}),
        raises=(
            BadMessage, BadJson, BadAudio, BadPortrait, AvatarNotFound, TooLarge, RtmpRefused, AvatarNotReady,
            StudioFull, OperatorOnly,
        ),
        in_detail=True,
    )  # fmt: skip
