"""Texts of strangers that should be JSON objects, and the texts in them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import cast

from studio.errors import BadJson, BadMessage, TooLarge

MAX_PARTS = 10_000
"""Of an object, in all its depth: 1 MB of empty lists takes 110 ms to read, in which nobody else is served."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def read_object(text: str) -> dict[str, object]:
    """Return a text as the JSON object that it is.

    Raises:
        BadJson: It is none, or one of too many parts.
    """
    if sum(map(text.count, "[{,")) > MAX_PARTS:  # those within texts count as well: nobody has so many there
        raise BadJson(f"A message may have {MAX_PARTS} parts at most.")
    try:
        body = json.loads(text, parse_constant=_no_constant)
        if _SURROGATE.search(text):  # half a character cannot be sent on, logged, or asked the disk for
            json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadJson(detail=type(error).__name__) from error
    if not isinstance(body, dict):
        raise BadJson("A message is one JSON object.")
    return cast(dict[str, object], body)


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is not JSON")


def read_text(body: Mapping[str, object], name: str, limit: int) -> str:
    """Return a text that a body must have.

    Args:
        body: From `read_object`.
        name: Of the field.
        limit: Characters that it may have.

    Raises:
        BadMessage: There is none, or something else.
        TooLarge: It is longer.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise BadMessage(f"The message needs {name}, a text.")
    if len(value) > limit:
        raise TooLarge(f"{name} is longer than {limit} characters.")
    return value


def read_optional_text(body: Mapping[str, object], name: str) -> str:
    """Return a text that a body may have; empty where it has none.

    Raises:
        BadMessage: It is something else.
    """
    value = body.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadMessage(f"{name} must be a text.")
    return value
