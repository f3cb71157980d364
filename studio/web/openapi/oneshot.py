"""The one-shot WebRTC routes and their aliases."""

from __future__ import annotations

from collections.abc import Iterator

from studio.errors import (
    AvatarNotFound,
    AvatarNotReady,
    BadAudio,
    BadJson,
    BadMessage,
    BadPortrait,
    CodecUnsupported,
    OfferInvalid,
    StudioFull,
    TooLarge,
)
from studio.messages import MAX_CANDIDATE_CHARACTERS, MAX_ID_CHARACTERS, MAX_LINE_INDEX, MAX_OPTIONS, MAX_SDP_CHARACTERS
from studio.spec import StudioSpec
from studio.web.oneshot import MAX_CANDIDATES, PATHS
from studio.web.openapi.terms import Content, Json, Operation, Reply, many, record, text
from studio.web.openapi.uploads import ENGINE, PORTRAIT_PATH, SOUND_PATH
from studio.web.wishes import CHUNKS, MAX_CHUNK, SCALE, TIMESTEPS

TAG = "webrtc"
ABOUT = "A portrait speaks a recording to a peer, in real time; then both tracks end."

SDP: Json = text("A session description.", minLength=1, maxLength=MAX_SDP_CHARACTERS)
ANSWER_SDP = "v=0\r\no=- 4008350270 4008350270 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
OFFER: Json = {"sdp": SDP, "type": text(const="offer")}
WISHES: Json = {
    "engine": ENGINE,
    "setup_kwargs": record(
        {},
        {"sampling_timesteps": {"description": f"Steps of a diffusion, {TIMESTEPS[0]} to {TIMESTEPS[1]}."}},
        "For the engine. What lies out of range is moved into it and named in `warnings`.",
        maxProperties=MAX_OPTIONS,
    ),
    "run_kwargs": record(
        {},
        {
            "frame_scale": {"description": f"Of the portrait's sides, {SCALE[0]:g} to {SCALE[1]:g}."},
            "chunk_config": {"description": f"Past, present and future pictures of a chunk, each 1 to {MAX_CHUNK}."},
        },
        f"For this run. What lies out of range is moved into it and named in `warnings`; no chunks: {list(CHUNKS)}.",
        maxProperties=MAX_OPTIONS,
    ),
    "avatar_id": text("One of the gallery, in place of `source_path`.", minLength=1, maxLength=MAX_ID_CHARACTERS),
}
RECORDING: Json = {"audio_path": SOUND_PATH, "source_path": PORTRAIT_PATH}
CANDIDATE: Json = {
    "type": ["object", "null", "string"],
    "description": "As a browser's `toJSON()` gives it, or with the names of Python clients; null or empty: no more.",
    "properties": {
        "candidate": {"type": ["string", "null"], "maxLength": MAX_CANDIDATE_CHARACTERS},
        "sdpMid": {"type": ["string", "null"], "maxLength": MAX_ID_CHARACTERS},
        "sdpMLineIndex": {"type": ["integer", "null"], "minimum": 0, "maximum": MAX_LINE_INDEX},
    },
    "maxLength": 0,
}


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    for path in PATHS:
        is_strict = path == PATHS[0]
        yield _offer(path, is_strict)
        yield _candidates(path)


def _offer(path: str, is_strict: bool) -> Operation:
    """Return the operation of an offer; where it is not strict, what to speak may be missing."""
    body = dict(record(OFFER, {**RECORDING, **WISHES}))
    if is_strict:
        body["anyOf"] = [{"required": ["audio_path", who]} for who in ("source_path", "avatar_id")]
    asked = {"sdp": "v=0\r\n...", "type": "offer", "audio_path": "uploads/mN3xVq0c9dXyZp_AbCdEfGhI.wav"}
    asked["source_path"] = "static/avatars/astronaut.png"
    answer = record(
        {"sdp": text(), "type": text(const="answer"), "session_id": text(), "pc_id": text("The same.")},
        {"warnings": many(text(), "What had to be changed.")},
    )
    given = {"sdp": ANSWER_SDP, "type": "answer", "session_id": "mN3xVq0c9dXyZp_A", "pc_id": "mN3xVq0c9dXyZp_A"}
    about = "Answers at once; give all candidates with the offer, or bring the others with `PATCH`."
    talk = " Without `audio_path` it is a conversation: the offer brings a microphone, or an agent speaks."
    return Operation(
        _id(path, "offer"), "POST", path, TAG, "Have a recording spoken to a peer",
        {200: Reply("The studio's side.", Content(answer, example=given))},
        about=about if is_strict else about + talk,
        body=Content(body, example=asked),
        raises=(
            BadMessage, BadJson, OfferInvalid, CodecUnsupported, BadAudio, BadPortrait, AvatarNotFound, TooLarge,
            AvatarNotReady, StudioFull,
        ),
        in_detail=True,
    )  # fmt: skip


def _candidates(path: str) -> Operation:
    body = record(
        {"pc_id": text("From the answer.")},
        {"candidates": many(CANDIDATE, maxItems=MAX_CANDIDATES), "candidate": CANDIDATE},
    )
    line = "candidate:1 1 udp 2130706431 127.0.0.1 46154 typ host"
    one = {"candidate": line, "sdpMid": "0", "sdpMLineIndex": 0}
    return Operation(
        _id(path, "candidates"), "PATCH", path, TAG, "Add ICE candidates to a peer",
        {200: Reply("They were taken.", Content(record({"status": text(const="success")})))},
        body=Content(body, example={"pc_id": "mN3xVq0c9dXyZp_A", "candidates": [one]}),
        raises=(BadMessage, BadJson, TooLarge),
        in_detail=True,
    )  # fmt: skip


def _id(path: str, what: str) -> str:
    """Return a unique name: ``offer`` at ``/webrtc/offer`` is ``webrtcOffer``."""
    where = path.strip("/").partition("/")[0]
    return what if where == "offer" else where + what.title()
