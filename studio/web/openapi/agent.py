"""The route by which recordings are spoken in a visit that goes on."""

from __future__ import annotations

from collections.abc import Iterator

from studio.errors import BadAudio, BadMessage, RateLimited, SessionNotFound, StudioFull, TooLarge
from studio.spec import StudioSpec
from studio.web.openapi.terms import Content, Operation, Reply, in_path, number, record, text
from studio.web.openapi.uploads import sound_file

TAG = "speech"
ABOUT = "Speech for a visit that goes on. Agents that make it as they go use the WebSocket beside this route."


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    queued = record({"session_id": text(), "seconds": number("Of the recording.", minimum=0)})
    example = {"session_id": "mN3xVq0c9dXyZp_A", "seconds": 3.2}
    yield Operation(
        "say", "POST", "/api/sessions/{id}/say", TAG, "Queue a recording to be spoken",
        {202: Reply("It waits for its turn.", Content(queued, example=example))},
        parameters=(in_path("id", "The session.", text()),),
        body=Content(record({"audio": sound_file(spec.limits)}), "multipart/form-data"),
        raises=(BadMessage, BadAudio, SessionNotFound, TooLarge, StudioFull, RateLimited),
    )  # fmt: skip
