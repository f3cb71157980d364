"""Declining pictures that nobody here could decode, so that an offer is not lost over them (RFC 3264, 6). Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set

_SECTIONS = re.compile(r"^(?=m=)", re.MULTILINE)
_KNOWN = re.compile(r"^a=rtpmap:\d+ (VP8|H264)/", re.MULTILINE | re.IGNORECASE)
_MID = re.compile(r"^a=mid:(\S+)\s*$", re.MULTILINE)
_BUNDLE = re.compile(r"^(a=group:BUNDLE)(.*?)(\r?)$", re.MULTILINE)


def without_unknown_pictures(sdp: str) -> tuple[str, Mapping[int, str]]:
    """Leave out an offer's video sections in which no codec is known.

    Returns:
        The offer without them, and what `with_declined` needs: number of the section -> what stands in the answer.
    """
    head, *sections = _SECTIONS.split(sdp)
    declined: dict[int, str] = {}
    mids: set[str] = set()
    for number, section in enumerate(sections):
        fields = section.split(maxsplit=4)
        if not section.startswith("m=video ") or _KNOWN.search(section) or len(fields) < 5:
            continue
        mid = _MID.search(section)
        lines = [f"m=video 0 {fields[2]} {fields[3]}", "c=IN IP4 0.0.0.0", "a=inactive"]
        declined[number] = "".join(f"{line}\r\n" for line in (*lines, *([f"a=mid:{mid[1]}"] if mid else [])))
        if mid:
            mids.add(mid[1])
    if mids:
        head = _BUNDLE.sub(lambda found: _without(found, mids), head)
    return head + "".join(section for number, section in enumerate(sections) if number not in declined), declined


def with_declined(answer: str, declined: Mapping[int, str]) -> str:
    """Put the sections that were left out back into the answer, declined."""
    head, *sections = _SECTIONS.split(answer)
    for number in sorted(declined):
        sections.insert(number, declined[number])
    return head + "".join(sections)


def _without(found: re.Match[str], mids: Set[str]) -> str:
    return " ".join([found[1], *(name for name in found[2].split() if name not in mids)]) + found[3]
