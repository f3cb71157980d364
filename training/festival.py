"""Speech of Festival's voices, which are recordings of a dozen people in six languages: timbres for strangers."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.signal import resample_poly

from training.mouths import ARPABET, SILENCE, Phone, spell
from training.utterance import RATE, Utterance


class Voice(NamedTuple):
    """One of Festival's voices."""

    locale: str
    """Of Faker's texts."""
    encoding: str
    """In which the voice reads."""
    often: float
    """How often it is drawn."""


VOICES = {
    "kal_diphone": Voice("en_US", "ascii", 1.0),
    "ked_diphone": Voice("en_US", "ascii", 2.0),
    "cmu_us_slt_arctic_hts": Voice("en_US", "ascii", 2.0),
    "czech_dita": Voice("cs_CZ", "iso-8859-2", 2.0),
    "czech_krb": Voice("cs_CZ", "iso-8859-2", 1.5),
    "czech_machac": Voice("cs_CZ", "iso-8859-2", 1.5),
    "czech_ph": Voice("cs_CZ", "iso-8859-2", 1.0),
    "suo_fi_lj_diphone": Voice("fi_FI", "iso-8859-15", 2.0),
    "hy_fi_mv_diphone": Voice("fi_FI", "iso-8859-15", 1.0),
    "lp_diphone": Voice("it_IT", "iso-8859-1", 2.0),
    "pc_diphone": Voice("it_IT", "iso-8859-1", 1.0),
    "upc_ca_ona_hts": Voice("es_ES", "iso-8859-15", 2.0),
    "msu_ru_nsh_clunits": Voice("ru_RU", "utf-8", 2.0),
}
_IPA = {
    "#": SILENCE, "_": SILENCE, "pau": SILENCE, "s~": "ʃ", "z~": "ʒ", "c~": "tʃ", "r~": "rʒ", "r~*": "rʃ", "d~": "ɟ",
    "t~": "c", "n~": "ɲ", "ch": "x", "dz": "dz", "dz~": "dʒ", "n*": "ŋ", "@": "æ", "7": "ø", "dZ": "dʒ",
    "tS": "tʃ", "ts": "ts", "S": "ʃ", "Z": "ʒ", "L": "ʎ", "J": "ɲ", "O": "ɔ", "E": "ɛ", "rr": "r", "ax": "ə", "uu": "ʊ",
    "N": "ŋ", "B": "β", "D": "ð", "G": "ɣ", "g": "ɡ", "T": "θ", "j": "j", "y": "y", "aI": "aɪ", "eI": "eɪ", "h~": "ɦ",
    "U": "ʊ", "I": "ɪ", "i": "i", "u": "u", "v": "v",
}  # fmt: skip
"""Names of the Czech, Finnish, Italian and Catalan phones where they are not IPA already."""
_RUSSIAN = {
    "pau": SILENCE, "a": "ə", "aa": "a", "y": "ɨ", "yy": "ɨ", "ee": "ɛ", "e": "e", "ii": "i", "i": "i", "oo": "ɔ", "o":
    "o", "uu": "u", "u": "u", "ae": "ə", "ch": "tɕ", "sh": "ʂ", "sch": "ɕ", "zh": "ʐ", "c": "ts", "h": "x", "hh": "x",
    "ll": "l", "l": "ɫ", "j": "j", "ur": "u", "ay": "a",
}  # fmt: skip
_HEADER = """(voice.select '{voice})
(define (say text name stretch)
  (Parameter.set 'Duration_Stretch stretch)
  (set! spoken (SynthText text))
  (utt.save.wave spoken (string-append name ".wav") 'riff)
  (utt.save.segs spoken (string-append name ".lab")))
"""


def say_all(texts: Sequence[tuple[str, float]], voice: str, scratch: Path) -> list[Utterance]:
    """Return what ``voice`` made of ``texts`` (each with the stretch of its durations), but what it cannot say.

    Args:
        texts: In the language of the voice.
        voice: One of `VOICES`.
        scratch: A folder for sounds, emptied afterwards.

    Raises:
        RuntimeError: Festival is missing.
    """
    if shutil.which("festival") is None:
        raise RuntimeError("festival is missing: apt install festival, and the voices of training/README.md")
    scratch.mkdir(parents=True, exist_ok=True)
    said: list[Utterance] = []
    for start in range(0, len(texts), 20):
        # Twenty to a process: a text that Festival stumbles over takes only those after it along.
        part = texts[start : start + 20]
        lines = [_HEADER.format(voice=voice).encode()]
        for i, (text, stretch) in enumerate(part):
            plain = re.sub(r'["\\]', "", text).encode(VOICES[voice].encoding, "ignore")
            lines.append(b'(say "%b" "%b" %.2f)\n' % (plain, str(scratch / str(i)).encode(), stretch))
        script = scratch / "say.scm"
        script.write_bytes(b"".join(lines))
        subprocess.run(["festival", "-b", str(script)], capture_output=True, timeout=300, check=False)
        for i in range(len(part)):
            found = _read(scratch / f"{i}.wav", scratch / f"{i}.lab", voice)
            if found is not None:
                said.append(found)
    shutil.rmtree(scratch)
    return said


def _read(wave: Path, labels: Path, voice: str) -> Utterance | None:
    if not wave.exists() or not labels.exists():
        return None
    sound, rate = soundfile.read(wave, dtype="float32")
    rows = [line.split() for line in labels.read_text("latin-1").splitlines()]
    wave.unlink()
    labels.unlink()
    phones: list[Phone] = []
    start = 0.0
    for row in rows:
        if len(row) == 3:
            end = float(row[0])
            phones += spell(_ipa(row[2], voice), start, end) if end > start else []
            start = end
    if len(phones) < 3:
        return None
    if rate != RATE:
        divisor = int(np.gcd(rate, RATE))
        sound = resample_poly(sound, RATE // divisor, rate // divisor)
    peak = float(np.abs(sound).max())
    if peak < 1e-3:
        return None
    return Utterance(np.round(sound * (0.5 / peak) * 32767).astype(np.int16), tuple(phones))


def _ipa(name: str, voice: str) -> str:
    """Return the IPA of a voice's phone; stress digits and length marks are dropped."""
    if VOICES[voice].locale == "en_US":
        return ARPABET[name.upper()]
    if VOICES[voice].locale == "ru_RU":
        return _RUSSIAN.get(name) or _IPA.get(name, name[:1])
    plain = name.rstrip("0123456789:") or name
    return _IPA.get(name) or _IPA.get(plain, plain)
