"""What is told of visits, and to whom: with a session's id one can speak in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tests.inside import inside, spec_of
from tests.integration.test_agent import visit


async def test_visits_are_listed_and_their_ids_told_to_the_operator_only(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, sessions=3)
    token = "0123456789abcdef"
    for origins, headers, tells in (
        ((), {}, True),
        ((), {"X-Forwarded-For": "192.0.2.1"}, False),
        (("https://shop.example",), {}, False),
        (("https://shop.example",), {"Authorization": f"Bearer {token}"}, True),
        ((), {"Authorization": "Bearer another"}, False),
    ):
        server = dataclasses.replace(spec.server, origins=origins, token=token)
        async with inside(dataclasses.replace(spec, server=server)) as studio:
            session_id, _ = await visit(studio)
            async with studio.client.get(studio.url("/api/sessions"), headers=headers) as answer:
                body = await answer.json()
            assert (body["seats"], body["taken"], len(body["sessions"])) == (3, 1, 1)
            row = body["sessions"][0]
            assert row["avatar_id"] == "ada" and row["state"] in ("connecting", "live") and row["seconds"] < 60
            assert ({"id": session_id}.items() <= row.items()) is tells and ("id" in row) is tells
