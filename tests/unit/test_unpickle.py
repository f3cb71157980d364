"""Pickles from strangers: numbers come through, nothing is ever run."""

from __future__ import annotations

import codecs
import copyreg
import functools
import io
import os
import pickle
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.nesting import Limits
from studio.engines.unpickle import parse, read_pickle
from studio.errors import AvatarNotReady

PROTOCOLS = (2, 3, 4, 5)
VALUES: tuple[object, ...] = (
    {"a": (1, 2.5, None, True, False, "ü", 2**70, -3), 3: [[]], None: {}, -1: b"\0\xff", True: b""},
    [list(range(300)), 255, 256, 65_535, 65_536, -1, 2**31, -(2**63), ["x" * 300]],
    bytearray(b"abc"),
)
ARRAYS = (
    np.arange(6, dtype="<f4").reshape(2, 3),
    np.arange(6, dtype=">f8").reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(12).reshape(2, 3, 2).transpose(1, 0, 2),
    np.zeros((0, 3)),
    np.array(3),
    np.array([True, False]),
    np.arange(3, dtype=np.float16),
    np.arange(3, dtype=np.uint8)[::2],
    np.array([1 + 2j], np.complex64),
)
SCALARS = (np.int32(-5), np.int64(7), np.float64(1.5), np.float16(2), np.bool_(True), np.uint8(200))


def refusal(data: bytes, **limits: int) -> str:
    """Return the sentence that refuses a pickle."""
    with pytest.raises(AvatarNotReady) as caught:
        parse(data, "x.pkl", Limits(**limits))
    assert caught.value.message.startswith("x.pkl ")
    assert caught.value.message.endswith(".")
    assert len(caught.value.message) < 250
    assert caught.value.message.isprintable()
    return caught.value.message


def same(one: object, other: object) -> bool:
    """Compare by type and content."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    return type(one) is type(other) and repr(one) == repr(other)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_values_come_through(protocol: int) -> None:
    for value in (*VALUES[: 3 if protocol == 5 else 2], None, "", (), 0):
        assert same(parse(pickle.dumps(value, protocol), "x"), value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_arrays_and_scalars_come_through(protocol: int) -> None:
    for value in (*ARRAYS, *SCALARS):
        data = pickle.dumps(value, protocol)
        for dialect in (data, data.replace(b"numpy._core.", b"numpy.core.")):
            if len(dialect) == len(data):
                assert same(parse(dialect, "x"), pickle.loads(data))
    mixed = {"a": list(ARRAYS), "b": SCALARS}
    result = parse(pickle.dumps(mixed, protocol), "x")
    assert repr(result) == repr(pickle.loads(pickle.dumps(mixed, protocol)))


def test_numpy_1_names_are_understood() -> None:
    old = (
        b"\x80\x02cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\2\0\0\0i4K\0K\1\x87R"
        b"(K\3X\1\0\0\0<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    data = old + b"c_codecs\nencode\nX\4\0\0\0\x07\0\0\0X\6\0\0\0latin1\x86R\x86R."
    assert same(parse(data, "x"), np.int32(7))


def test_shared_values_stay_shared() -> None:
    inner = [1]
    result = parse(pickle.dumps([inner, inner]), "x")
    assert isinstance(result, list)
    assert result[0] is result[1]


def test_golden_pickles_read_as_python_reads_them(shared: Path) -> None:
    files = [*shared.glob("golden/ditto/standins/ditto_cfg/*.pkl"), *shared.glob("golden/musetalk/**/*.pkl")]
    assert len(files) >= 4
    for file in files:
        assert repr(read_pickle(file)) == repr(pickle.loads(file.read_bytes()))


class Gadget:
    """Reduces to a call."""

    def __init__(self, *reduced: Any) -> None:
        self.reduced = reduced

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


class Plain:
    """An object with attributes."""

    def __init__(self) -> None:
        self.a = 1


class New:
    """Made by ``__new__`` with keywords."""

    def __new__(cls, *, a: int = 0) -> New:
        return super().__new__(cls)

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, int]]:
        return (), {"a": 1}


GADGETS: dict[str, Callable[[Path], Any]] = {
    "posix.system": lambda trap: Gadget(os.system, (f"touch {trap}",)),
    "subprocess.Popen|commands.Popen": lambda trap: Gadget(subprocess.Popen, (["touch", str(trap)],)),
    "eval": lambda trap: Gadget(eval, (f"open({str(trap)!r}, 'w')",)),
    "exec": lambda trap: Gadget(exec, (f"open({str(trap)!r}, 'w')",)),
    "getattr": lambda trap: Gadget(getattr, ("text", "upper")),
    "open": lambda trap: Gadget(open, (str(trap), "w")),
    "__import__": lambda trap: Gadget(__import__, ("os",)),
    "functools.partial": lambda trap: Gadget(functools.partial, (os.system, f"touch {trap}")),
    "_codecs.decode": lambda trap: Gadget(codecs.decode, (b"x", "rot13")),
    "copyreg._reconstructor|copy_reg._reconstructor": lambda trap: Gadget(
        vars(copyreg)["_reconstructor"], (Plain, object, None)
    ),
    "tests.unit.test_unpickle.Plain": lambda trap: Plain(),
    "tests.unit.test_unpickle.New|functools.partial": lambda trap: New(),
    "io.BytesIO": lambda trap: io.BytesIO(b"x"),
    "numpy.memmap|numpy._core.memmap": lambda trap: Gadget(np.memmap, (str(trap), "u1", "w+", 0, (8,))),
    "numpy.load": lambda trap: Gadget(np.load, (str(trap), None, True)),
    "numpy.fromfile": lambda trap: Gadget(np.fromfile, ("/etc/passwd",)),
    "pickle.loads": lambda trap: Gadget(pickle.loads, (pickle.dumps(Gadget(os.system, (f"touch {trap}",))),)),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", GADGETS)
def test_gadgets_are_refused_by_name_and_nothing_runs(tmp_path: Path, name: str, protocol: int) -> None:
    trap = tmp_path / "sprung"
    gadget = GADGETS[name](trap)
    for wrapped in (gadget, {"base_cfg": [gadget]}, [(1, gadget)]):
        sentence = refusal(pickle.dumps(wrapped, protocol))
        assert any(word in sentence for word in name.split("|"))
    assert not trap.exists()


def text(word: str) -> bytes:
    """Return the instruction that pushes a text."""
    return b"X" + struct.pack("<I", len(word)) + word.encode()


SYSTEM = b"cposix\nsystem\n"
RAW: dict[str, tuple[bytes, str]] = {
    "inst": (b"(" + text("id") + b"iposix\nsystem\n.", "posix.system"),
    "obj": (b"(" + SYSTEM + text("id") + b"o.", "posix.system"),
    "obj without a name": (b"(" + text("id") + b"o.", "object of a class"),
    "newobj": (SYSTEM + b")\x81.", "posix.system"),
    "newobj of a text": (text("id") + b")\x81.", "object of a class"),
    "newobj_ex": (text("id") + b")}\x92.", "object of a class"),
    "ext1": (b"\x82\x01.", "extension"),
    "ext2": (b"\x83\x01\0.", "extension"),
    "ext4": (b"\x84\x01\0\0\0.", "extension"),
    "persid": (b"Pposix\n.", "outside of itself"),
    "binpersid": (text("0") + b"Q.", "outside of itself"),
    "next buffer": (b"\x97.", "outside of itself"),
    "readonly buffer": (b"N\x98.", "outside of itself"),
    "set": (b"\x8f.", "a set"),
    "frozenset": (b"(\x91.", "a set"),
    "stack global": (text("os") + text("system") + b"\x93.", "os.system"),
    "dotted stack global": (text("numpy") + text("os.system") + b"\x93.", "numpy.os.system"),
    "newline in a name": (text("a\nb") + text("c") + b"\x93.", r"'a\nb.c'"),
    "long name": (text("a" * 9000) + text("c") + b"\x93.", "a" * 70),
    "endless name": (b"c" + b"a" * 9000 + b"\nb\n.", "damaged"),
    "call of a text": (text("os.system") + b")R.", "damaged"),
    "call of a class": (b"cnumpy\nndarray\n)R.", "wants to call numpy.ndarray"),
    "a bare word": (b"cnumpy\nndarray\n.", "not made of numbers"),
    "state for a list": (b"]}b.", "change a value"),
    "state for a dict": (b"}}b.", "change a value"),
    "state for an int": (b"K\1}b.", "change a value"),
    "encode by another codec": (b"c_codecs\nencode\n" + text("x") + text("rot13") + b"\x86R.", "_codecs.encode"),
    "encode not latin1": (b"c_codecs\nencode\n" + text("\u20ac") + text("latin1") + b"\x86R.", "damaged"),
    "bytes of a number": (b"cbuiltins\nbytes\nJ\0\0\0\x7f\x85R.", "damaged"),
    "list as a key": (b"}]Ns.", "list as key"),
    "float as a key": (b"}G" + bytes(8) + b"Ns.", "float as key"),
    "enormous key": (b"}\x8a\x08" + (2**61 - 1).to_bytes(8, "little") + b"Ns.", "enormous number"),
    "tuple as a key": (b"})Ns.", "tuple as key"),
    "word as a key": (b"}cnumpy\nndarray\nNs.", "Word as key"),
    "odd dictionary": (b"}(Nu.", "damaged"),
    "append to a tuple": (b")Na.", "damaged"),
    "set in a list": (b"]NNs.", "damaged"),
    "two results": (b"NN.", "damaged"),
    "nothing": (b".", "damaged"),
    "open mark": (b"(.", "damaged"),
    "pop below the mark": (b"N(0.", "damaged"),
    "no mark": (b"Nt.", "damaged"),
    "memo that is not there": (b"h\5.", "damaged"),
    "bad text": (b"X\1\0\0\0\xff.", "damaged"),
    "text of a terabyte": (b"\x8d" + struct.pack("<Q", 10**12) + b".", "damaged"),
    "bytes of a terabyte": (b"\x8e" + struct.pack("<Q", 10**12) + b".", "damaged"),
    "bytearray of a terabyte": (b"\x96" + struct.pack("<Q", 2**63) + b".", "damaged"),
    "frame of a terabyte": (b"\x95" + struct.pack("<Q", 10**12) + b".", "damaged"),
    "long number": (b"\x8a\xff" + b"\1" * 255 + b".", "255 bytes"),
    "negative number": (b"\x8b" + struct.pack("<i", -1) + b".", "-1 bytes"),
    "list in itself": (b"]q\0h\0a.", "contains itself"),
    "dictionary in itself": (b"}q\0K\1h\0s.", "contains itself"),
    "deep tuples": (b")" + b"\x85" * 100_000 + b".", "deeply"),
    "deep lists": (b"]" * 5000 + b"a" * 4999 + b".", "deeply"),
    "text protocol": (b"I1\n.", "damaged"),
}


@pytest.mark.parametrize("name", RAW)
def test_hostile_instructions_are_refused(name: str) -> None:
    body, expected = RAW[name]
    assert expected in refusal(b"\x80\x04" + body)


@pytest.mark.parametrize(
    ("head", "expected"), [(b"\x80\x06", "protocol 6"), (b"\x80\x01", "protocol 1"), (b"\x80", "damaged")]
)
def test_other_protocols_are_named(head: bytes, expected: str) -> None:
    assert expected in refusal(head + b"N." if len(head) > 1 else head)


def test_billion_laughs_are_refused_without_walking_them() -> None:
    value: Any = ["ha"]
    for _ in range(25):
        value = [value] * 4
    assert "nested" in refusal(pickle.dumps(value))


def test_cost_is_bounded() -> None:
    assert "steps" in refusal(b"\x80\x04" + b"]" * 200 + b".", steps=100)
    numbers = pickle.dumps([np.zeros(100), np.ones(100)])
    assert "unfolds" in refusal(numbers, made_bytes=1000)
    twice = b"\x80\x04c_codecs\nencode\nq\0" + text("x" * 900) + text("latin1") + b"\x86q\1R0" + b"h\0h\1R0" * 9 + b"N."
    assert "unfolds" in refusal(twice, made_bytes=4000)


def dtype(code: str = "f4", order: str = "<") -> bytes:
    """Return the instructions that push a dtype."""
    state = b"(K\3" + text(order) + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    return b"cnumpy\ndtype\n" + text(code) + b"\x89\x88\x87R" + state


def number(value: int) -> bytes:
    """Return the instruction that pushes an integer."""
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


BLANK = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R"


def array(shape: tuple[int, ...], raw: bytes, kind: bytes = b"") -> bytes:
    """Return a pickle of an array whose shape and bytes may lie."""
    sides = b"(" + b"".join(map(number, shape)) + b"t"
    return b"\x80\x04" + BLANK + b"(K\1" + sides + (kind or dtype()) + b"\x89C" + bytes([len(raw)]) + raw + b"tb."


def test_handmade_array_reads() -> None:
    assert same(parse(array((2, 1), b"\0\0\x80\x3f\0\0\0\x40"), "x"), np.array([[1], [2]], np.float32))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (array((10**12 // 4,), b"\0\0\0\0"), "1000000 MB"),
        (array((2**62, 2**62), b""), "MB"),
        (array((0, 2**62), b""), "MB"),
        (array((2,), b"\0\0\0\0"), "damaged"),
        (array((-1,), b"\0\0\0\0"), "damaged"),
        (array((1,) * 40, b"\0\0\0\0"), "damaged"),
        (array((1,), b"\0" * 8, dtype("O8", "|")), "'O8'"),
        (array((1,), b"\0" * 4, dtype("U1")), "'U1'"),
        (array((1,), b"\0" * 8, dtype("V8", "|")), "'V8'"),
        (array((1,), b"\0" * 8, dtype("M8")), "'M8'"),
        (array((1,), b"\0" * 4, dtype("f4", "<>")), "damaged|plain numbers"),
        (array((1,), b"\0" * 4, dtype().split(b"(")[0]), "damaged"),
        (b"\x80\x04" + BLANK + b".", "damaged"),
        (b"\x80\x04" + BLANK + b"Nb.", "plain numbers"),
        (b"\x80\x04" + BLANK + b"}b.", "plain numbers"),
        (b"\x80\x04" + dtype() + b"Nb.", "change a value"),
    ],
)  # fmt: skip
def test_lying_arrays_are_refused_before_they_are_made(data: bytes, expected: str) -> None:
    assert any(word in refusal(data) for word in expected.split("|"))


def test_array_where_a_number_belongs_is_refused() -> None:
    """NumPy arrays compare to arrays: a reader that compares arguments would trip over them."""
    ones = pickle.dumps(np.ones(2), 4)[2:-1].split(b"\x95", 1)[-1][8:]
    for body in (
        b"cnumpy\ndtype\n" + text("f4") + ones + b"\x88\x87R.",
        b"cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R(K\3" + ones + b"NNNJ\0\0\0\0J\0\0\0\0K\0tb.",
        b"c_codecs\nencode\n" + text("x") + ones + b"\x86R.",
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + ones + b"\x85C\1b\x87R.",
        BLANK + b"(" + ones + b"K\1\x85" + dtype() + b"\x89C\0tb.",
        b"}" + ones + b"Ns.",
    ):
        assert refusal(b"\x80\x04" + body)


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    nested = np.array([Gadget(os.system, (f"touch {trap}",)), None], object)
    for protocol in PROTOCOLS:
        assert refusal(pickle.dumps(nested, protocol))
        assert "'O8'" in refusal(pickle.dumps(np.array([[1], None], object), protocol))
        assert refusal(pickle.dumps(np.array(["text"]), protocol))
        assert refusal(pickle.dumps(np.zeros(2, [("a", "f4")]), protocol))
        assert refusal(pickle.dumps(np.zeros(2, "M8[s]"), protocol))
    assert not trap.exists()


@pytest.mark.parametrize("value", [{"a": [np.arange(4), np.int32(3)]}, VALUES[0]])
def test_every_truncation_is_refused(value: object) -> None:
    for protocol in PROTOCOLS:
        data = pickle.dumps(value, protocol)
        for end in range(1, len(data)):
            refusal(data[:end])


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    survives(b"\x80\x04" + data)
    survives(data)


SEEDS = [pickle.dumps(value, protocol) for protocol in PROTOCOLS for value in (*VALUES, *ARRAYS, *SCALARS)]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6))
def test_mutated_pickles_are_read_or_refused(data: bytes, changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(data)
    for where, what in changes:
        mutated[where % len(mutated)] = what
    survives(bytes(mutated))


def survives(data: bytes) -> None:
    """Read or refuse; nothing else may come out."""
    try:
        parse(data, "x.pkl", Limits(steps=20_000, made_bytes=100_000))
    except AvatarNotReady as error:
        assert error.message.startswith("x.pkl ")


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.pkl").touch()
    (tmp_path / "large.pkl").write_bytes(b"\0" * 101)
    for name, expected in (
        ("none.pkl", "no file"),
        ("empty.pkl", "is empty"),
        ("large.pkl", "larger"),
        (".", "no file"),
    ):
        with pytest.raises(AvatarNotReady, match=expected):
            read_pickle(tmp_path / name, Limits(file_bytes=100))
