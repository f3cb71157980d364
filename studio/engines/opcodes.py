"""A machine that reads pickles without running them: it knows values and containers, and looks no name up.

A name in a pickle stays a word. What a word may do is decided by a table of functions of ours; a word that is not in
the table ends the reading, so nothing is ever imported or called. Everything is bounded: steps, bytes made, depth and
the number of values that sharing unfolds to. Knows nothing of NumPy or PyTorch. Source of the instructions: PEP 307,
PEP 3154, PEP 574 and the documentation of Python's ``pickletools``; protocols 2 to 5.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from studio.engines.cursor import Cursor
from studio.engines.nesting import KEYS, LARGEST_KEY, LEAVES, USUAL, Limits, tangle
from studio.errors import AvatarNotReady

INTEGER_BYTES = 32
NEWEST_PROTOCOL = 5


@dataclass(frozen=True, slots=True)
class Word:
    """A name that the pickle mentions, for example ``numpy.ndarray``; only a text."""

    text: str


Maker = Callable[["Machine", tuple[object, ...]], object]
"""Makes the value of a word and its arguments; refuses by `Machine.refuse`."""
State = Callable[["Machine", object], None]
"""Completes a value by the state that follows it."""


class Machine:
    """One reading of one pickle.

    Args:
        data: The whole pickle.
        name: What the sentences call the file.
        makers: Word -> what it makes; None for words that are only arguments of others.
        leaves: Types of values that makers make.
        persistent: Makes what stands outside the pickle, from its key; None refuses such references.
        limits: What the reading may cost.
    """

    def __init__(
        self, data: bytes, name: str, makers: Mapping[str, Maker | None], leaves: tuple[type, ...],
        persistent: Maker | None = None, limits: Limits = USUAL,
    ) -> None:  # fmt: skip
        self.limits = limits
        self._bytes, self._name = Cursor(data, self.damaged), name
        self._makers, self._persistent = makers, persistent
        self._leaves: tuple[type, ...] = (*LEAVES, *leaves)
        self._stack: list[object] = []
        self._marks: list[int] = []
        self._memo: dict[int, object] = {}
        self._states: dict[int, tuple[object, State, bool]] = {}
        self._made_bytes = 0

    def read(self) -> object:
        """Return the value that the pickle describes.

        Raises:
            AvatarNotReady: The pickle is damaged, costs too much, or wants anything else than values.
        """
        for _ in range(self.limits.steps):
            code = self._bytes.take(1)
            if code == b".":
                return self._finished()
            step = _STEPS.get(code)
            if step is None:
                self._refuse_step(code)
            step(self)
        return self.refuse(f"has more than {self.limits.steps} steps; nothing that the studio reads is that long")

    def refuse(self, reason: str) -> NoReturn:
        """End the reading; ``reason`` continues a sentence that begins with the file's name."""
        raise AvatarNotReady(f"{self._name} {reason}.")

    def damaged(self) -> NoReturn:
        """End the reading of something that makes no sense."""
        self.refuse("is damaged or cut off; copy it again")

    def spend(self, size: int) -> None:
        """Count ``size`` bytes before they are made."""
        self._made_bytes += size
        if self._made_bytes > self.limits.made_bytes:
            self.refuse(f"unfolds to more than {self.limits.made_bytes / 1e6:.0f} MB; that is no file of ours")

    def await_state(self, value: object, complete: State, required: bool = True) -> None:
        """Let the next state given to ``value`` complete it; where one is required, the reading fails without."""
        self._states[id(value)] = (value, complete, required)

    def is_finished(self, value: object) -> bool:
        """Is nothing left to be given to ``value``?"""
        return id(value) not in self._states

    def word(self, text: str) -> Word:
        """Return a word, if it is one of ours."""
        if text not in self._makers:
            shown = text if text.isprintable() else repr(text)
            self.refuse(f"asks for {shown[:80]}, which has no place in it, and was not opened. Do not trust this file")
        return Word(text)

    # The stack

    def _push(self, value: object) -> None:
        self._stack.append(value)

    def _pop(self) -> object:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            self.damaged()
        return self._stack.pop()

    def _top(self) -> object:
        self._push(top := self._pop())
        return top

    def _pop_to_mark(self) -> list[object]:
        if not self._marks:
            self.damaged()
        start = self._marks.pop()
        items = self._stack[start:]
        del self._stack[start:]
        return items

    # The instructions

    def _refuse_step(self, code: bytes) -> NoReturn:
        if code == b"i":
            self.word(f"{self._bytes.line()}.{self._bytes.line()}")
        kind = _FOREIGN.get(code)
        if kind:
            self.refuse(f"asks for {kind}, which has no place in it, and was not opened. Do not trust this file")
        self.damaged()

    def _protocol(self) -> None:
        version = self._bytes.number("B")
        if not 2 <= version <= NEWEST_PROTOCOL:
            self.refuse(f"is a pickle of protocol {version}; the studio reads 2 to {NEWEST_PROTOCOL}")

    def _frame(self) -> None:
        if self._bytes.number("<Q") > self._bytes.left:
            self.damaged()

    def _integer(self, layout: str) -> None:
        size = self._bytes.number(layout)
        if not 0 <= size <= INTEGER_BYTES:
            self.refuse(f"holds a number of {size} bytes; the longest one allowed has {INTEGER_BYTES}")
        self._push(int.from_bytes(self._bytes.take(size), "little", signed=True))

    def _drop(self) -> None:
        self._pop()

    def _drop_to_mark(self) -> None:
        self._pop_to_mark()

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    def _extend(self, items: list[object]) -> None:
        target = self._top()
        if type(target) is not list:
            self.damaged()
        target.extend(items)

    def _set(self, items: list[object]) -> None:
        target = self._top()
        if type(target) is not dict or len(items) % 2:
            self.damaged()
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in KEYS:
                self.refuse(f"has a {type(key).__name__} as key of a dictionary; texts and whole numbers are allowed")
            if isinstance(key, int) and abs(key) > LARGEST_KEY:
                self.refuse("has an enormous number as key of a dictionary")
            target[key] = value

    def _set_one(self) -> None:
        value, key = self._pop(), self._pop()
        self._set([key, value])

    def _put(self, index: int) -> None:
        self._memo[index] = self._top()

    def _get(self, index: int) -> None:
        if index not in self._memo:
            self.damaged()
        self._push(self._memo[index])

    def _stack_word(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            self.damaged()
        self._push(self.word(f"{module}.{name}"))

    def _reduce(self) -> None:
        arguments, word = self._pop(), self._pop()
        if type(word) is not Word or type(arguments) is not tuple:
            self.damaged()
        maker = self._makers[word.text]
        if maker is None:
            self.refuse(f"wants to call {word.text}, which has no place in it, and was not opened")
        self._push(maker(self, arguments))

    def _build(self) -> None:
        state = self._pop()
        _, complete, _ = self._states.pop(id(self._top()), (None, None, False))
        if complete is None:
            self.refuse("wants to change a value that is complete, and was not opened")
        complete(self, state)

    def _reference(self) -> None:
        key = self._pop()
        if self._persistent is None:
            self.refuse("refers to something outside of itself, and was not opened")
        self._push(self._persistent(self, (key,)))

    def _finished(self) -> object:
        result = self._pop()
        if self._stack or any(required for _, _, required in self._states.values()):
            self.damaged()
        complaint = tangle(result, self._leaves, self.limits)
        return self.refuse(complaint) if complaint else result


def _text_of(layout: str) -> Callable[[Machine], None]:
    return lambda m: m._push(m._bytes.text(m._bytes.number(layout)))


def _bytes_of(layout: str, kind: type[bytes] | type[bytearray] = bytes) -> Callable[[Machine], None]:
    return lambda m: m._push(kind(m._bytes.take(m._bytes.number(layout))))


_STEPS: Mapping[bytes, Callable[[Machine], None]] = {
    b"\x80": Machine._protocol,
    b"\x95": Machine._frame,
    b"(": lambda m: m._marks.append(len(m._stack)),
    b"0": Machine._drop,
    b"1": Machine._drop_to_mark,
    b"2": lambda m: m._push(m._top()),
    b"N": lambda m: m._push(None),
    b"\x88": lambda m: m._push(True),
    b"\x89": lambda m: m._push(False),
    b"J": lambda m: m._push(m._bytes.number("<i")),
    b"K": lambda m: m._push(m._bytes.number("B")),
    b"M": lambda m: m._push(m._bytes.number("<H")),
    b"\x8a": lambda m: m._integer("B"),
    b"\x8b": lambda m: m._integer("<i"),
    b"G": lambda m: m._push(struct.unpack(">d", m._bytes.take(8))[0]),
    b"\x8c": _text_of("B"),
    b"X": _text_of("<I"),
    b"\x8d": _text_of("<Q"),
    b"C": _bytes_of("B"),
    b"B": _bytes_of("<I"),
    b"\x8e": _bytes_of("<Q"),
    b"\x96": _bytes_of("<Q", bytearray),
    b"]": lambda m: m._push([]),
    b"}": lambda m: m._push({}),
    b")": lambda m: m._push(()),
    b"\x85": lambda m: m._tuple(1),
    b"\x86": lambda m: m._tuple(2),
    b"\x87": lambda m: m._tuple(3),
    b"t": lambda m: m._push(tuple(m._pop_to_mark())),
    b"a": lambda m: m._extend([m._pop()]),
    b"e": lambda m: m._extend(m._pop_to_mark()),
    b"s": Machine._set_one,
    b"u": lambda m: m._set(m._pop_to_mark()),
    b"q": lambda m: m._put(m._bytes.number("B")),
    b"r": lambda m: m._put(m._bytes.number("<I")),
    b"\x94": lambda m: m._put(len(m._memo)),
    b"h": lambda m: m._get(m._bytes.number("B")),
    b"j": lambda m: m._get(m._bytes.number("<I")),
    b"c": lambda m: m._push(m.word(f"{m._bytes.line()}.{m._bytes.line()}")),
    b"\x93": Machine._stack_word,
    b"R": Machine._reduce,
    b"b": Machine._build,
    b"Q": Machine._reference,
}
"""Instruction -> what it does."""

_FOREIGN: Mapping[bytes, str] = {
    b"o": "an object of a class",
    b"\x81": "an object of a class",
    b"\x92": "an object of a class",
    b"\x82": "an extension of the program that wrote it",
    b"\x83": "an extension of the program that wrote it",
    b"\x84": "an extension of the program that wrote it",
    b"P": "something outside of itself",
    b"\x97": "a buffer outside of itself",
    b"\x98": "a buffer outside of itself",
    b"\x8f": "a set",
    b"\x90": "a set",
    b"\x91": "a set",
}
"""Instructions that are never followed, and what they ask for."""
