from __future__ import annotations

import os
from pathlib import Path

import pytest

from studio.cli import settings
from studio.cli.arguments import parse


@pytest.mark.parametrize(("may_write", "given", "kept"), [
    (True, None, None), (False, None, "cache/compiled"), (False, "elsewhere", "elsewhere"),
])  # fmt: skip
def test_compiled_code_is_kept_where_one_may_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_write: bool, given: str | None, kept: str | None
) -> None:
    """A program that lies in an image, or belongs to somebody else, is no place for it."""
    config = tmp_path / "avatars.yaml"
    config.write_text(f"cache: {tmp_path / 'cache'}\navatars: [{{id: ada, engine: testcard}}]\n")
    monkeypatch.setenv("NUMBA_CACHE_DIR", given or "")
    if given is None:
        monkeypatch.delenv("NUMBA_CACHE_DIR")
    monkeypatch.setattr(os, "access", lambda path, mode: may_write)
    settings.read(parse(["serve", "--config", str(config)]))
    place = os.environ.get("NUMBA_CACHE_DIR")
    assert place is None if kept is None else place is not None and place.endswith(kept)
