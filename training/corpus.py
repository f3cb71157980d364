"""The speech to learn from: four sets, made once and kept in the work folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from pathlib import Path

from faker import Faker

from training import espeak, festival, flite, grid, utterance
from training.utterance import Utterance

Say = Callable[[str], None]
LONGEST_S = 14.0


def sources(work: Path, grid_folder: Path, hours: Mapping[str, float], seed: int, say: Say) -> dict[str, Path]:
    """Return the file of each set, made where ``work`` does not have it yet.

    Args:
        work: Keeps what was made.
        grid_folder: The measured clips.
        hours: Of ``espeak``, ``flite`` and ``festival`` speech.
        seed: Of everything drawn.
        say: Hears what goes on.
    """

    def dice(name: str) -> random.Random:
        return random.Random(f"{seed}/{name}")

    makers: dict[str, tuple[str, Callable[[], list[Utterance]]]] = {
        "espeak": (f"{hours['espeak']:g}h-{seed}", lambda: _espeak(dice("espeak"), hours["espeak"] * 3600)),
        "flite": (f"{hours['flite']:g}h-{seed}", lambda: _flite(dice("flite"), hours["flite"] * 3600, work)),
        "festival": (
            f"{hours['festival']:g}h-{seed}",
            lambda: _festival(dice("festival"), hours["festival"] * 3600, work / "festival"),
        ),
        "grid": ("1", lambda: grid.read(grid_folder)),
    }  # fmt: skip
    paths = {}
    for name, (version, make) in makers.items():
        paths[name] = work / f"{name}-{version}.npz"
        if not paths[name].exists():
            made = make()
            part = paths[name].with_suffix(".part.npz")
            utterance.save(part, made)
            part.rename(paths[name])
            say(f"{name}: {len(made)} utterances, {sum(u.seconds for u in made) / 3600:.2f} h")
    return paths


def _espeak(dice: random.Random, seconds: float) -> list[Utterance]:
    voice = espeak.Espeak()
    fakers = {language: Faker(locale) for language, locale in espeak.LOCALES.items()}
    languages, weights = list(espeak.LANGUAGES), list(espeak.LANGUAGES.values())
    result: list[Utterance] = []
    while seconds > 0:
        language = dice.choices(languages, weights)[0]
        name = f"{language}+{dice.choice(espeak.VARIANTS)}"
        text = _text(fakers[language], dice)
        said = voice.say(text, name, dice.randint(120, 250), dice.randint(15, 85), dice.randint(20, 90))
        if said is None or not 0.3 < said.seconds < LONGEST_S:
            seconds -= 0.05  # a language that never speaks must not keep us for ever
            continue
        seconds -= said.seconds
        result.append(said)
    return result


def _flite(dice: random.Random, seconds: float, work: Path) -> list[Utterance]:
    faker = Faker("en_US")
    result: list[Utterance] = []
    while seconds > 0:
        name = dice.choices(list(flite.VOICES), list(flite.VOICES.values()))[0]
        said = flite.say(_text(faker, dice), name, dice.uniform(0.75, 1.3), dice.uniform(90, 230), work / "flite.wav")
        seconds -= 0.05 if said is None else said.seconds
        if said is not None and 0.3 < said.seconds < LONGEST_S:
            result.append(said)
    return result


def _festival(dice: random.Random, seconds: float, scratch: Path) -> list[Utterance]:
    fakers = {voice.locale: Faker(voice.locale) for voice in festival.VOICES.values()}
    names, weights = list(festival.VOICES), [voice.often for voice in festival.VOICES.values()]
    result: list[Utterance] = []
    while seconds > 0:
        name = dice.choices(names, weights)[0]
        faker = fakers[festival.VOICES[name].locale]
        texts = [(_text(faker, dice), dice.uniform(0.75, 1.25)) for _ in range(20)]
        said = [u for u in festival.say_all(texts, name, scratch) if 0.3 < u.seconds < LONGEST_S]
        seconds -= sum(u.seconds for u in said) + 0.05
        result += said
    return result


def _text(faker: Faker, dice: random.Random) -> str:
    faker.seed_instance(dice.getrandbits(32))
    kind = dice.random()
    if kind < 0.7:
        return str(faker.sentence(nb_words=dice.randint(4, 14)))
    if kind < 0.85:
        return f"{faker.name()}, {faker.city()}."
    return " ".join(faker.words(nb=dice.randint(2, 6)))
