"""``prepare``: what it advises to do with a new avatar."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from studio.cli import prepare, settings
from studio.errors import ConfigError
from studio.spec import AvatarSpec, StudioSpec

AVATAR = AvatarSpec("me", Path("/home/me/me.jpg"), "Me", configured_source="me.jpg")


def test_lines_belong_at_the_end_of_a_configuration_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    said = prepare.invitation(AVATAR, StudioSpec((), file=file))
    assert f"add these lines at the end of {file}:" in said
    assert said.endswith("  - id: me\n    name: Me\n    source: me.jpg")


def test_installed_configuration_is_copied_not_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = tmp_path / "site-packages" / "studio" / "shipped"
    monkeypatch.setattr(prepare, "home", lambda: shipped)
    monkeypatch.setattr(prepare, "workplace", lambda: tmp_path)
    said = prepare.invitation(AVATAR, StudioSpec((), file=shipped / "configs" / "avatars.yaml"))
    assert f"copy {shipped / 'configs' / 'avatars.yaml'}\nto avatars.yaml" in said
    assert "start the studio with --config avatars.yaml:" in said
    assert not prepare.is_shipped(tmp_path / "avatars.yaml")


def test_portrait_is_not_overwritten_by_its_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    portrait = tmp_path / "me.png"
    portrait.write_bytes(b"dear")
    monkeypatch.setattr(settings, "read", lambda arguments: StudioSpec(()))
    sheet = tmp_path / "." / "me.png"
    arguments = argparse.Namespace(image=portrait, id="me", name=None, sheet=sheet)
    with pytest.raises(ConfigError, match="is the portrait itself"):
        prepare.run(arguments)
    assert portrait.read_bytes() == b"dear"
