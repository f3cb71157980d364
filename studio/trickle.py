"""``application/trickle-ice-sdpfrag`` (RFC 8840, 9): candidates that come after their offer. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from studio.errors import BadMessage
from studio.messages import MAX_CANDIDATE_CHARACTERS, Candidate

MOST_CANDIDATES = 128
"""In one fragment."""
_UFRAG = re.compile(r"^a=ice-ufrag:(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Fragment:
    """What one fragment brings."""

    ufrags: frozenset[str]
    """Of the ICE session that it belongs to; empty where it does not say."""
    candidates: tuple[Candidate, ...]


def ufrags(sdp: str) -> frozenset[str]:
    """Return the names of the ICE sessions that a description, or a part of one, speaks of."""
    return frozenset(_UFRAG.findall(sdp))


def read_fragment(text: str) -> Fragment:
    """Read a fragment; lines that are of no interest are passed over, as RFC 8840 wants it.

    Raises:
        BadMessage: There is no such line in it at all, or too many candidates, or too long a one.
    """
    candidates: list[Candidate] = []
    section, mid, is_fragment = -1, None, False
    for line in text.splitlines():
        if line.startswith("m="):
            section, mid = section + 1, None
        elif line.startswith("a=mid:"):
            mid = line.removeprefix("a=mid:").strip()
        elif line.startswith("a=candidate:"):
            candidates.append(_candidate(line, mid, max(section, 0)))
        is_fragment = is_fragment or line.startswith(("a=ice-", "a=candidate:", "a=end-of-candidates"))
        if len(candidates) > MOST_CANDIDATES:
            raise BadMessage(f"Send {MOST_CANDIDATES} candidates at most.")
    if not is_fragment:
        raise BadMessage("Send candidates as lines of SDP (RFC 8840).")
    return Fragment(ufrags(text), tuple(candidates))


def _candidate(line: str, mid: str | None, section: int) -> Candidate:
    if len(line) > MAX_CANDIDATE_CHARACTERS:
        raise BadMessage("This candidate cannot be read.")
    return Candidate(line.removeprefix("a="), mid, None if mid is not None else section)
