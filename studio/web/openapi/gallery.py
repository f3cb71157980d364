"""The gallery's routes: avatars, their pictures, sessions, ICE servers."""

from __future__ import annotations

from collections.abc import Iterator

from studio.errors import AvatarNotFound, AvatarNotReady
from studio.session import Connection
from studio.spec import StudioSpec
from studio.web.openapi.terms import (
    Content,
    Json,
    Operation,
    Reply,
    flag,
    in_header,
    in_path,
    in_query,
    many,
    number,
    record,
    text,
    whole,
)

TAG = "gallery"
ABOUT = "What the studio shows, who is there, and how a browser finds it."

AVATAR: Json = record(
    {
        "id": text("Names it in requests."),
        "name": text("To show."),
        "video_path": text("Its source, as configured."),
        "engine": text("What animates it."),
        "thumbnail": text("A small picture, relative to the page; empty: none."),
        "ready": flag("It can be played now."),
        "reason": text("Why it is not ready, in words; empty otherwise."),
        "still": text("A larger picture, as above."),
        "loop": text("An endless small animation, as above."),
        "added": flag("While the studio ran: it can be removed."),
    }
)
MIRA: Json = {
    "id": "mira", "name": "Mira", "video_path": "static/avatars/mira", "engine": "portrait",
    "thumbnail": "api/avatars/mira/thumbnail?v=0f3a5be1c2d4", "ready": True, "reason": "",
    "still": "api/avatars/mira/still?v=9b1c0d2e3f4a", "loop": "api/avatars/mira/loop?v=5d6e7f809a1b",
    "added": False,
}  # fmt: skip
SESSION: Json = record(
    {
        "avatar_id": text(),
        "state": text(enum=[str(one) for one in Connection]),
        "seconds": number("Since it began.", minimum=0),
    },
    {"id": text("Whoever knows it may speak in the session: told to the operator only.")},
)
TURN: Json = {
    "urls": ["turn:turn.example:3478?transport=udp"], "username": "1767225600:studio", "credential": "gh4YvIuNM+8QoE=",
}  # fmt: skip


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    gallery = record(
        {
            "avatars": many(AVATAR, "In the order of the configuration; then what was added."),
            "may_add": flag("Whoever asks may add avatars."),
        }
    )
    yield Operation(
        "listAvatars", "GET", "/api/avatars", TAG, "List the avatars",
        {200: Reply("The gallery.", Content(gallery, example={"avatars": [MIRA], "may_add": True}))},
    )  # fmt: skip
    yield Operation(
        "showAvatarPicture", "GET", "/api/avatars/{id}/{picture}", TAG, "Show one of an avatar's pictures",
        {200: Reply("A JPEG; of `loop` an animated WebP.", Content({}, "image/*"), CACHED),
         304: Reply("The browser has it.", headers=CACHED)},
        parameters=(
            in_path("id", "The avatar.", text()),
            in_path("picture", "Which one.", text(enum=["thumbnail", "still", "loop"])),
            in_query("v", "As in the gallery's links: with it the picture may be kept for ever.", text()),
            in_header("If-None-Match", "Entity tags of what the browser has.", text()),
        ),
        raises=(AvatarNotFound, AvatarNotReady),
    )  # fmt: skip
    seats = record({"seats": whole("How many fit.", minimum=0), "taken": whole(minimum=0), "sessions": many(SESSION)})
    visit = {"id": "mN3xVq0c9dXyZp_A", "avatar_id": "mira", "state": "live", "seconds": 12.4}
    yield Operation(
        "listSessions", "GET", "/api/sessions", TAG, "List the visits that go on",
        {200: Reply("Seats and visits.", Content(seats, example={"seats": 9, "taken": 1, "sessions": [visit]}))},
    )  # fmt: skip
    server = record({"urls": many(text())}, {"username": text(), "credential": text("Expires with the name.")})
    servers = record({"iceServers": many(server)}, about="What `new RTCPeerConnection` takes.")
    yield Operation(
        "listIceServers", "GET", "/api/ice-servers", TAG, "List STUN and TURN servers",
        {200: Reply("The servers, with a password that expires.", Content(servers, example={"iceServers": [TURN]}))},
    )  # fmt: skip


CACHED: Json = {"ETag": "Names this version.", "Cache-Control": "How long it may be kept."}
