"""The routes of viewers (WHEP) and of microphones from outside (WHIP)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from studio.errors import (
    AvatarNotFound,
    AvatarNotReady,
    BadMessage,
    CodecUnsupported,
    OfferInvalid,
    RateLimited,
    SessionNotFound,
    StudioError,
    StudioFull,
    TooLarge,
)
from studio.lines import RestartRefused, TagMismatch, TagMissing
from studio.messages import MAX_SDP_CHARACTERS
from studio.spec import StudioSpec
from studio.web.openapi.terms import Content, Json, Operation, Reply, in_header, in_path, text
from studio.web.whep import FRAGMENT, MAX_FRAGMENT_CHARACTERS, SDP, WrongType

TAG = "broadcast"
ABOUT = """\
One avatar for many viewers (WHEP, draft-ietf-wish-whep), and microphones for sessions that go on (WHIP, RFC 9725).

An avatar is rendered and encoded once, however many watch. The first viewer begins the broadcast, which takes a seat
and is listed among the sessions; it ends when nobody has watched for a while. Whoever knows its id may speak in it.
"""
OFFER: Json = text("An offer.", minLength=1, maxLength=MAX_SDP_CHARACTERS)
CANDIDATES: Json = text("Candidates (RFC 8840).", maxLength=MAX_FRAGMENT_CHARACTERS)
ID = in_path("id", "From `Location`.", text())
BADLY_SENT = (BadMessage, TooLarge, WrongType)


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    avatar = in_path("id", "One of the gallery.", text())
    session = in_path("id", "A session that goes on.", text())
    watching = (AvatarNotFound, AvatarNotReady, StudioFull)
    speaking = (SessionNotFound, StudioFull)
    yield from _family("whep", avatar, "Watch an avatar", watching)
    yield from _family("whip", session, "Speak in a session, through a microphone", speaking)


def _family(name: str, whom: Json, summary: str, raises: Sequence[type[StudioError]]) -> Iterator[Operation]:
    place, connection = f"/{name}/{{id}}", f"/{name}/sessions/{{id}}"
    opened = {
        "Location": "Where candidates are sent, and the connection is ended.",
        "ETag": "Of the ICE session, for `If-Match`.",
        "Accept-Patch": FRAGMENT,
    }
    yield Operation(
        f"{name}Offer", "POST", place, TAG, summary,
        {201: Reply("The studio's side.", Content(text(), SDP), opened)},
        about="Each `Link` with `rel=ice-server` is a STUN or TURN server to use, with its login.",
        parameters=(whom,),
        body=Content(OFFER, SDP),
        raises=(*BADLY_SENT, OfferInvalid, CodecUnsupported, RateLimited, *raises),
    )  # fmt: skip
    yield Operation(
        f"{name}Servers", "OPTIONS", place, TAG, "Ask which ICE servers to use",
        {204: Reply("Each `Link` is one.", headers={"Accept-Post": SDP})},
        parameters=(whom,),
    )  # fmt: skip
    yield Operation(
        f"{name}Candidates", "PATCH", connection, TAG, "Add ICE candidates",
        {204: Reply("They were taken.")},
        parameters=(ID, in_header("If-Match", "The `ETag` that came with the answer, or `*`.", text())),
        body=Content(CANDIDATES, FRAGMENT),
        raises=(*BADLY_SENT, SessionNotFound, TagMissing, TagMismatch, RestartRefused),
    )  # fmt: skip
    yield Operation(
        f"{name}Goodbye", "DELETE", connection, TAG, "End the connection",
        {200: Reply("It has ended.")},
        parameters=(ID,),
        raises=(SessionNotFound,),
    )  # fmt: skip
    yield Operation(
        f"{name}Types", "OPTIONS", connection, TAG, "Ask what may be done here",
        {204: Reply("Candidates may be sent.", headers={"Accept-Patch": FRAGMENT})},
        parameters=(ID,),
    )  # fmt: skip
