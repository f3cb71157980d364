"""``docs/protocols.md`` against the code, both ways: messages, their fields, errors, close codes, limits."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import pkgutil
import re
import struct
import types
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import aiohttp
import pytest

import studio as package
from studio import messages
from studio.errors import ConfigError, StudioError, UnknownType
from studio.spec import StudioSpec
from studio.web import agent, guard, images, patience, recorder, signaling
from studio.web.images import HEADER
from studio.web.wishes import read_wish
from tests import protocols
from tests.protocols import Messages

SOCKETS = (signaling, agent, images, recorder, patience, guard)
"""The modules that hold the conversations."""


def kind_of(annotation: str) -> str:
    """Return the page's word for a type of `messages`."""
    annotation = annotation.removesuffix(" | None")
    words = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
    if annotation.startswith("Mapping"):
        return "object"
    return words.get(annotation) or ("list" if annotation.startswith("tuple") else "number or text")


def shape(message: type) -> dict[str, str]:
    """Return a dataclass's fields and the page's words for their types."""
    return {field.name: kind_of(str(field.type)) for field in dataclasses.fields(message)}


def kinds(found: Messages) -> dict[str, dict[str, str]]:
    return {name: {key: field.kind for key, field in fields.items()} for name, fields in found.items()}


def test_signaling_says_what_the_page_says() -> None:
    code = {name: shape(message) for message, name in messages._SERVER_TYPES.items()}
    assert kinds(protocols.messages("From the studio over `/ws`")) == code
    assert kinds(protocols.messages("The entries of"))["avatar"] == shape(messages.AvatarCard)


def cases(module: types.ModuleType) -> set[str]:
    """Return the types of messages that a module distinguishes."""
    tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.MatchValue)]
    return {str(value.value) for value in values if isinstance(value, ast.Constant)}


def test_signaling_understands_what_the_page_says() -> None:
    page = protocols.messages("From the client to `/ws`")
    assert set(page) == cases(messages)
    classes = {**{one.__name__: one for one in get_args(messages.ClientMessage)}, "Start": messages.Start}
    assert len(classes) == len(page)
    for name, fields in page.items():
        if name == "ice_candidate":  # whose one field is an object of a browser's
            assert set(fields) == {"candidate"}
            continue
        message = classes["".join(word.title() for word in name.split("_"))]
        assert {key: field.kind for key, field in fields.items()} == shape(message)
        optional = {f.name for f in dataclasses.fields(message) if f.default is not f.default_factory}
        assert {key for key, field in fields.items() if field.may_be_missing} == optional
    with pytest.raises(UnknownType):
        messages.decode('{"type": "nonsense"}')


def test_pictures_and_agents_are_understood_as_the_page_says() -> None:
    assert set(protocols.messages("From the client to `/ws/{client_id}`")) == cases(images)
    assert set(protocols.messages("From the client to `/api/sessions/{id}/audio`")) == cases(agent)


class Asked(dict[str, object]):
    """A request that remembers which of its fields somebody wanted to know."""

    def __init__(self, *args: object, **fields: object) -> None:
        super().__init__(*args, **fields)
        self.names: set[str] = set()

    def get(self, key: str, default: object = None) -> object:
        self.names.add(key)
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self.names.add(str(key))
        return super().__contains__(key)


def test_wishes_are_those_of_the_page() -> None:
    run, setup = Asked(), Asked()
    body = Asked(audio_path="a.wav", source_path="b.png", run_kwargs=run, setup_kwargs=setup)
    read_wish(body)
    page = protocols.messages("From the client to `/ws/{client_id}`")["start_streaming"]
    assert set(page) == body.names
    (row,) = (row for row in protocols.rows("From the client to `/ws/{client_id}`") if row[1] == "[`run_kwargs`]")
    assert set(re.findall(r"`(\w+)`", row[3])) == run.names


def said(module: types.ModuleType) -> dict[str, set[str]]:
    """Return the messages that a module says with ``_say``: type -> the fields that are written out there."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "_say":
            named = {word.arg: word.value for word in node.keywords if word.arg}
            kind = named.pop("type", node.args[0] if node.args else None)
            assert isinstance(kind, ast.Constant), ast.dump(node)
            found.setdefault(str(kind.value), set()).update(named)
    return found


def test_pictures_and_agents_say_what_the_page_says() -> None:
    for address, module in (("`/ws/{client_id}`", images), ("`/api/sessions/{id}/audio`", agent)):
        page, code = protocols.messages(f"From the studio over {address}"), said(module)
        assert set(page) == set(code) | {"error"}
        for name, fields in code.items():
            assert fields <= set(page[name]), name
    assert kinds({"error": protocols.messages("From the studio over `/api/sessions")["error"]}) == {
        "error": shape(messages.Fault)
    }


def test_binary_header_is_where_the_page_says() -> None:
    *fields, picture = [(int(offset), count, kind) for offset, count, kind, _ in protocols.rows("Binary pictures")]
    formats = {"unsigned whole number": {"4": "I"}, "IEEE 754 number": {"8": "d"}}
    assert "!" + "".join(formats[kind][count] for _, count, kind in fields) == HEADER.format
    ends = [struct.calcsize(HEADER.format[: 1 + n]) for n in range(len(fields) + 1)]
    assert [offset for offset, _, _ in fields] + [picture[0]] == ends
    assert f'"{HEADER.format}"' in protocols.section("Binary pictures") and picture[0] == HEADER.size


def errors_of(kind: type[StudioError]) -> Iterator[type[StudioError]]:
    """Yield a class of errors and all below it that have a word of their own."""
    if kind is not ConfigError:
        yield from [kind] if "code" in vars(kind) else []
        for inner in kind.__subclasses__():
            yield from errors_of(inner)


def test_errors_are_those_of_the_code() -> None:
    """Those of the client and the command line are said on a terminal and nowhere else."""
    elsewhere = ("studio.engines.", "studio.cli", "studio.client")
    for module in pkgutil.walk_packages(package.__path__, "studio."):
        if not module.name.startswith(elsewhere):
            importlib.import_module(module.name)
    ours = [one for one in errors_of(StudioError) if not one.__module__.startswith(elsewhere)]
    code = {one.code: (one.status, one.fatal, one.retryable) for one in ours}
    page = {
        word.strip("`"): (int(status), fatal == "yes", again == "yes")
        for word, status, fatal, again, _ in protocols.rows("Errors")
    }
    assert page == code


def test_close_codes_are_those_of_the_code() -> None:
    names = {
        name for module in SOCKETS for name in re.findall(r"WSCloseCode\.(\w+)", Path(str(module.__file__)).read_text())
    }
    code = {int(aiohttp.WSCloseCode[name]) for name in names} | {aiohttp.WSCloseCode.MESSAGE_TOO_BIG}
    assert {int(number) for number, _ in protocols.rows("Close codes")} == code


def valued(name: str) -> float:
    """Return the value of a limit that the page names."""
    place, _, last = name.rpartition(".")
    spec = StudioSpec(())
    if hasattr(spec, place):
        return float(getattr(getattr(spec, place), last))
    return float(getattr(importlib.import_module(f"studio.{place}"), last))


def constants(module: types.ModuleType) -> Iterator[str]:
    """Yield the numbers that a module itself gives a name to."""
    for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body:
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name) and isinstance(getattr(module, target.id), int | float):
                yield f"{module.__name__.removeprefix('studio.')}.{target.id}"


def test_limits_are_those_of_the_code() -> None:
    page = {name.strip("`"): float(value) for name, value, _ in protocols.rows("Limits")}
    assert page == {name: valued(name) for name in page}
    assert {name for module in (*SOCKETS, messages) for name in constants(module)} <= set(page)
    used = {name for module in SOCKETS for name in re.findall(r"imits\.(\w+)", Path(str(module.__file__)).read_text())}
    assert {f"limits.{name}" for name in used} <= set(page)
