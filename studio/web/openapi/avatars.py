"""The routes of avatars that are added while the studio runs."""

from __future__ import annotations

from collections.abc import Iterator

from studio.additions import NAME_LENGTH, AvatarFixed, AvatarTaken, State
from studio.config.reader import ID
from studio.errors import (
    AvatarNotFound,
    AvatarNotReady,
    BadMessage,
    BadPortrait,
    OperatorOnly,
    RateLimited,
    StudioFull,
    TooLarge,
)
from studio.spec import StudioSpec
from studio.uploads import FILMS
from studio.web.openapi.gallery import AVATAR, MIRA
from studio.web.openapi.terms import (
    Content,
    Json,
    Operation,
    Reply,
    file,
    flag,
    in_path,
    many,
    number,
    record,
    text,
)
from studio.web.openapi.uploads import ENGINE, portrait_file

TAG = "avatars"
ABOUT = "Avatars that are added while the studio runs: prepared in the background, kept until they are removed."

AVATAR_ID = in_path("id", "The avatar.", text(pattern=f"^{ID.pattern}$"))
FINDING: Json = record({"subject": text("What was judged."), "good": flag(), "text": text("A sentence.")})
STATE: Json = {
    "allOf": [
        AVATAR,
        record(
            {
                "state": text(enum=[str(state) for state in State]),
                "progress": number("Of the preparation.", minimum=0, maximum=1),
                "phrase": text("What is being done, or why it failed."),
                "findings": many(FINDING, "How good the picture is."),
            }
        ),
    ]
}
EXAMPLE: Json = {
    **MIRA, "id": "me", "name": "Me", "video_path": "source.jpg", "thumbnail": "", "still": "", "loop": "",
    "ready": False, "reason": "It is still being prepared.", "added": True,
    "state": str(State.PREPARING), "progress": 0.25, "phrase": "looking for the face", "findings": [],
}  # fmt: skip


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    limits, everybody = spec.limits, "Every visitor may." if spec.server.visitors_add_avatars else "The operator may."
    films = file(f"Instead: a video, {', '.join(FILMS)}, for an engine that takes one.", limits.video_bytes)
    form = record(
        {"id": text("Of the new avatar.", pattern=f"^{ID.pattern}$")},
        {
            "image": portrait_file(limits),
            "video": films,
            "name": text("To show; the id if there is none.", maxLength=NAME_LENGTH),
            "engine": ENGINE,
        },
        oneOf=[{"required": ["image"]}, {"required": ["video"]}],
    )
    yield Operation(
        "addAvatar", "POST", "/api/avatars", TAG, "Add an avatar",
        {202: Reply("It was checked and kept; its preparation goes on.", Content(STATE, example=EXAMPLE),
                    {"Location": "Where to ask how it goes."})},
        about=f"{everybody} {limits.added_avatars} are kept at most, across restarts.",
        body=Content(form, "multipart/form-data"),
        raises=(BadMessage, BadPortrait, TooLarge, AvatarTaken, StudioFull, AvatarNotReady, RateLimited, OperatorOnly),
    )  # fmt: skip
    yield Operation(
        "showAvatar", "GET", "/api/avatars/{id}", TAG, "Show an avatar, and how its preparation goes",
        {200: Reply("The avatar.", Content(STATE, example=EXAMPLE))},
        parameters=(AVATAR_ID,), raises=(AvatarNotFound,),
    )  # fmt: skip
    yield Operation(
        "watchAvatar", "GET", "/api/avatars/{id}/events", TAG, "Watch a preparation",
        {200: Reply("Server-Sent Events: `state`, with what `showAvatar` says, until it is ready or has failed; "
                    "`removed`.", Content(text(), "text/event-stream"))},
        parameters=(AVATAR_ID,), raises=(AvatarNotFound, StudioFull),
    )  # fmt: skip
    yield Operation(
        "removeAvatar", "DELETE", "/api/avatars/{id}", TAG, "Remove an avatar that was added",
        {204: Reply("It is gone, with everything that was kept of it. Visits that play it go on with it.")},
        about=everybody, parameters=(AVATAR_ID,),
        raises=(AvatarNotFound, AvatarFixed, AvatarNotReady, OperatorOnly),
    )  # fmt: skip
