"""The parts of an OpenAPI 3.1 document: schemas, bodies, replies, and an operation made of them.

Schemas are those of JSON Schema 2020-12 (https://spec.openapis.org/oas/v3.1.1). Knows no route.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from studio.errors import OperatorOnly, StudioError
from studio.web.guard import WORDS, retry_headers

Json = Mapping[str, object]
"""A part of the document."""


def text(about: str = "", **more: object) -> Json:
    """Return the schema of a text; ``more`` are keywords of JSON Schema."""
    return _schema("string", about, more)


def whole(about: str = "", **more: object) -> Json:
    """Return the schema of a whole number."""
    return _schema("integer", about, more)


def number(about: str = "", **more: object) -> Json:
    """Return the schema of a number."""
    return _schema("number", about, more)


def flag(about: str = "", **more: object) -> Json:
    """Return the schema of true or false."""
    return _schema("boolean", about, more)


def many(items: Json, about: str = "", **more: object) -> Json:
    """Return the schema of a list of ``items``."""
    return _schema("array", about, {"items": items, **more})


def record(required: Json, optional: Json | None = None, about: str = "", **more: object) -> Json:
    """Return the schema of an object: names of its fields -> their schemas."""
    fields = {"properties": {**required, **(optional or {})}}
    return _schema("object", about, {**fields, **({"required": list(required)} if required else {}), **more})


def mapping(values: Json, about: str = "") -> Json:
    """Return the schema of an object with any names."""
    return _schema("object", about, {"additionalProperties": values})


def file(about: str, most_bytes: int) -> Json:
    """Return the schema of a file's bytes in a form."""
    return {"type": "string", "contentMediaType": "application/octet-stream", "maxLength": most_bytes, **_about(about)}


def within(limits: tuple[float, float]) -> dict[str, float]:
    """Return the keywords for a number between two others, both allowed."""
    return {"minimum": limits[0], "maximum": limits[1]}


def ref(name: str) -> Json:
    """Return a reference to a schema of `document.SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _schema(kind: str, about: str, more: Json) -> Json:
    return {"type": kind, **_about(about), **more}


def _about(about: str) -> Json:
    return {"description": about} if about else {}


def in_path(name: str, about: str, schema: Json) -> Json:
    """Return a parameter that is a part of the path."""
    return {"name": name, "in": "path", "required": True, "description": about, "schema": schema}


def in_query(name: str, about: str, schema: Json, required: bool = False) -> Json:
    """Return a parameter behind the path's question mark."""
    return {"name": name, "in": "query", "required": required, "description": about, "schema": schema}


def in_header(name: str, about: str, schema: Json, required: bool = False) -> Json:
    """Return a header of the request."""
    return {"name": name, "in": "header", "required": required, "description": about, "schema": schema}


@dataclass(frozen=True, slots=True)
class Content:
    """A body: of a request, or of a reply."""

    schema: Json
    mime: str = "application/json"
    example: object = None

    def write(self) -> Json:
        """Return the ``content`` object."""
        example = {} if self.example is None else {"example": self.example}
        return {self.mime: {"schema": self.schema, **example}}


@dataclass(frozen=True, slots=True)
class Reply:
    """What the studio says."""

    about: str
    content: Content | None = None
    headers: Json = field(default_factory=dict)
    """Name -> what it tells."""

    def write(self) -> dict[str, object]:
        """Return the response object."""
        headers = {name: {"description": about, "schema": text()} for name, about in self.headers.items()}
        written: dict[str, object] = {"description": self.about}
        if headers:
            written["headers"] = headers
        if self.content:
            written["content"] = self.content.write()
        return written


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    id: str
    """Unique, in camel case: clients are generated from it."""
    method: str
    path: str
    tag: str
    summary: str
    replies: Mapping[int, Reply]
    about: str = ""
    parameters: Sequence[Json] = ()
    body: Content | None = None
    is_body_required: bool = True
    raises: Sequence[type[StudioError]] = ()
    """Every error that the route can answer with, besides those that any route can."""
    in_detail: bool = False
    """Its errors have the shape of other people's clients; see `guard.in_detail`."""

    def write(self) -> dict[str, object]:
        """Return the operation object."""
        written: dict[str, object] = {"operationId": self.id, "tags": [self.tag], "summary": self.summary}
        if self.about:
            written["description"] = self.about
        if OperatorOnly in self.raises:
            written["security"] = [{OPERATOR: []}, {}]
        if self.parameters:
            written["parameters"] = list(self.parameters)
        if self.body:
            written["requestBody"] = {"required": self.is_body_required, "content": self.body.write()}
        anybody = {code: {"$ref": f"#/components/responses/{name}"} for code, name in ANY.items()}
        failures = {status: self._failure(status, errors) for status, errors in sorted(self.errors().items())}
        replies = {str(status): reply.write() for status, reply in self.replies.items()}
        written["responses"] = {**replies, **anybody, **failures}
        return written

    def errors(self) -> dict[str, list[type[StudioError]]]:
        """Return what it raises, by the status that the client sees."""
        found: dict[str, list[type[StudioError]]] = {}
        for error in self.raises:
            status = 400 if self.in_detail and error.status == 415 else error.status
            found.setdefault(str(status), []).append(error)
        return found

    def _failure(self, status: str, errors: Sequence[type[StudioError]]) -> Json:
        """Return the response object of one status: its words, and what each means."""
        about = "\n".join(f"- `{error.code}`: {error.default}" for error in errors)
        shape = ref("Detail") if self.in_detail else _error(int(status), errors)
        content = Content({"anyOf": [shape, ref("Error")]} if status in ANY else shape)
        headers = {name: HEADERS[name] for error in errors for name in retry_headers(error())}
        return Reply(about, content, headers).write()


HEADERS = {"Retry-After": "Seconds to wait.", "WWW-Authenticate": "How to say that it is the operator who asks."}
"""What `guard.retry_headers` adds to refusals."""
OPERATOR = "operator"
"""The name of the operator's token among the security schemes."""
ANY = {"403": "Unauthorized", "500": "Internal"}
"""What any route can answer: status -> name among the document's responses."""


def _error(status: int, errors: Sequence[type[StudioError]]) -> Json:
    codes = {error.code for error in errors} | ({WORDS[status]} if status in WORDS else set())
    words = record({"code": text(enum=sorted(codes))})
    return {"allOf": [ref("Error"), record({"error": words})]}
