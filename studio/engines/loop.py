"""Loops of frames that run forth and back, without a jump at either end."""

from __future__ import annotations


def mirror(index: int, count: int) -> int:
    """Return the frame of a loop that runs forth and back: 0 .. n-1, n-1 .. 0, 0 ..; both ends are seen twice.

    Args:
        index: Any position, from 0.
        count: Frames there are, at least 1.
    """
    turn, rest = divmod(index, count)
    return count - 1 - rest if turn % 2 else rest
