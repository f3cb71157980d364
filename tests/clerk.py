"""Asks a running studio and compares each answer with what ``/openapi.json`` says about it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientResponse
from jsonschema import Draft202012Validator

from tests.inside import Inside


@dataclass
class Clerk:
    """A client that believes nothing.

    Args:
        studio: Whom to ask.
        told: Its document.
    """

    studio: Inside
    told: dict[str, Any]
    seen: set[tuple[str, int]] = field(default_factory=set)
    """Operations' ids and the statuses they were answered with."""

    async def ask(self, method: str, path: str, status: int, *, json: object = None, **how: Any) -> Any:
        """Send a request and return the answer's body: of JSON its value, else bytes.

        Args:
            method: Of HTTP.
            path: With its values filled in, and its query.
            status: That must come.
            json: The body, which must be as the document says if the request shall succeed.
            how: For aiohttp.
        """
        operation = self.operation(method, path.partition("?")[0])
        if json is not None and status < 400:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            self.judge(json, schema, strict=False)
        asked = self.studio.client.request(method, self.studio.url(path), json=json, allow_redirects=False, **how)
        async with asked as answer:
            body = await answer.read()
            assert answer.status == status, f"{method} {path}: {answer.status} {body[:500]!r}"
            self.seen.add((operation["operationId"], status))
            return self.checked(operation, answer, body)

    def operation(self, method: str, path: str) -> dict[str, Any]:
        """Return the operation that a method and a path lead to."""
        for template, item in sorted(self.told["paths"].items(), key=lambda one: one[0].count("{")):
            pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
            if method.lower() in item and re.fullmatch(pattern, path):
                found: dict[str, Any] = item[method.lower()]
                return found
        raise AssertionError(f"{method} {path} is not in the document")

    def checked(self, operation: Mapping[str, Any], answer: ClientResponse, body: bytes) -> Any:
        """Return an answer's body after a look at its status, type, headers and content."""
        where = f"{operation['operationId']} {answer.status}"
        assert str(answer.status) in operation["responses"], f"{where} is not in the document: {body[:500]!r}"
        reply = self.resolved(operation["responses"][str(answer.status)])
        missing = [name for name in reply.get("headers", {}) if name not in answer.headers and name != "Retry-After"]
        assert not missing, f"{where} lacks {missing}"
        if "content" not in reply:
            assert not body, f"{where} has a body: {body[:500]!r}"
            return None
        ((mime, content),) = reply["content"].items()
        assert re.fullmatch(mime.replace("*", ".*"), answer.content_type), f"{where} is {answer.content_type}"
        if mime != "application/json":
            return body
        value = json.loads(body)
        self.judge(value, content["schema"], strict=True)
        return value

    def resolved(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a reference leads to."""
        if "$ref" not in part:
            return part
        found: Any = self.told
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return dict(found)

    def judge(self, value: object, schema: Mapping[str, Any], strict: bool) -> None:
        """Fail if a value is not as its schema says; ``strict``: or has a field of which the schema says nothing."""
        whole = {**(closed(schema) if strict else schema), "components": self.told["components"]}
        errors = [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(value)]
        assert not errors, "\n".join(errors)


def closed(schema: Any) -> Any:
    """Return a schema that allows no field besides those it names."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict) or "allOf" in schema:
        return schema
    inner = {key: closed(value) for key, value in schema.items()}
    is_open = "properties" in schema and "additionalProperties" not in schema and isinstance(schema["properties"], dict)
    return inner | ({"additionalProperties": False} if is_open else {})
