"""The uploads' routes: files of visitors, and how a portrait's preparation goes."""

from __future__ import annotations

from collections.abc import Iterator

from studio.engine import ENGINES
from studio.errors import BadAudio, BadMessage, BadPortrait, RateLimited, StudioFull, TooLarge, Unauthorized
from studio.recording import CONTAINERS
from studio.spec import LimitsSpec, StudioSpec
from studio.uploads import MAX_PATH, PICTURES, PREFIX, FileNotFound
from studio.web.openapi.terms import (
    Content,
    Json,
    Operation,
    Reply,
    file,
    flag,
    in_query,
    many,
    number,
    record,
    text,
)

TAG = "uploads"
ABOUT = "Recordings and portraits that visitors bring. Each gets a random name, which only its owner is told."

SOUND_PATH: Json = text(
    f"A recording: from `POST /upload`, or of a media root. {', '.join(CONTAINERS)}.", minLength=1, maxLength=MAX_PATH
)
PORTRAIT_PATH: Json = text(
    f"A portrait: from `POST /upload`, or of a media root. {', '.join(PICTURES)}.", minLength=1, maxLength=MAX_PATH
)
ENGINE: Json = text(
    "What animates the portrait; `auto`: the best that can run.", enum=["auto", *ENGINES], default="auto"
)


def sound_file(limits: LimitsSpec) -> Json:
    """Return the schema of a recording in a form."""
    endings = ", ".join(CONTAINERS)
    return file(f"A recording, {endings}; {limits.sound_seconds:g} seconds at most.", limits.sound_bytes)


def portrait_file(limits: LimitsSpec) -> Json:
    """Return the schema of a portrait in a form."""
    endings = ", ".join(PICTURES)
    return file(f"A portrait, {endings}; {limits.picture_pixels} pixels at most.", limits.picture_bytes)


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    form = record({}, {"audio": sound_file(spec.limits), "source": portrait_file(spec.limits)}, minProperties=1)
    paths = {f"{name}_path": f"{PREFIX}mN3xVq0c9dXyZp_AbCdEfGhI.{ending}" for name, ending in FILES}
    found = record({}, {"audio_path": text(), "source_path": text()}, minProperties=1)
    yield Operation(
        "upload", "POST", "/upload", TAG, "Upload a recording, a portrait, or both",
        {200: Reply("The paths to name them by.", Content(found, example=paths))},
        about=f"What is not used for {spec.limits.upload_seconds:g} s is forgotten. A portrait's preparation begins.",
        parameters=(in_query("engine", "For which the portrait is prepared.", ENGINE),),
        body=Content(form, "multipart/form-data"),
        raises=(BadMessage, BadAudio, BadPortrait, TooLarge, StudioFull, RateLimited),
        in_detail=True,
    )  # fmt: skip
    finding = record({"subject": text("What was judged."), "good": flag(), "text": text("A sentence.")})
    report = record(
        {
            "ready": flag("It can be played."),
            "done": number("Of the preparation.", minimum=0, maximum=1),
            "phrase": text("What is being done."),
            "reason": text("Why it cannot become an avatar; empty otherwise."),
            "findings": many(finding, "How good the picture is."),
        },
        {"engine": text()},
    )
    yield Operation(
        "reportPreparation", "GET", "/api/portraits", TAG, "Tell how a portrait's preparation goes",
        {200: Reply("How far it is, and what came of it.", Content(report, example=EXAMPLE))},
        about="Asking begins the preparation, if nobody did.",
        parameters=(
            in_query("source_path", "Whose.", PORTRAIT_PATH, required=True),
            in_query("engine", "For which it is prepared.", ENGINE),
        ),
        raises=(BadMessage, Unauthorized, FileNotFound, StudioFull),
        in_detail=True,
    )  # fmt: skip


FILES = (("audio", "wav"), ("source", "jpg"))
EXAMPLE: Json = {
    "ready": True, "done": 1.0, "phrase": "ready", "reason": "", "engine": "portrait",
    "findings": [{"subject": "face size", "good": True, "text": "The face is 412 pixels wide."}],
}  # fmt: skip
