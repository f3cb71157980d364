"""Speech of espeak-ng through its shared library, which tells the moment of every phone."""

from __future__ import annotations

import ctypes
import ctypes.util
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.mouths import Phone, is_known, spell
from training.utterance import Utterance

_RETRIEVAL, _PHONEME_EVENTS, _IPA, _UTF8, _CHARACTERS = 1, 1, 2, 1, 1
_PHONEME, _LIST_END = 7, 0
_RATE, _PITCH, _RANGE = 1, 3, 4
OFTEN = ("de", "fr", "es", "it", "pt-br", "nl", "pl", "ru")
SELDOM = ("ar", "bg", "bn", "cs", "da", "el", "es-419", "fa", "fi", "he", "hi", "hu", "hy", "ro", "sv",
          "th", "tr", "uk", "vi")  # fmt: skip
LANGUAGES = {"en-us": 8.0, "ja": 3.0, "ko": 1.5, **dict.fromkeys(OFTEN, 2.0), **dict.fromkeys(SELDOM, 1.0)}
"""Language -> how often it is drawn."""
LOCALES = {
    "en-us": "en_US", "ja": "ja_JP", "ko": "ko_KR", "de": "de_DE", "fr": "fr_FR", "es": "es_ES", "it": "it_IT",
    "pt-br": "pt_BR", "nl": "nl_NL", "pl": "pl_PL", "ru": "ru_RU", "ar": "ar_AA", "bg": "bg_BG",
    "bn": "bn_BD", "cs": "cs_CZ", "da": "da_DK", "el": "el_GR", "es-419": "es_MX", "fa": "fa_IR", "fi": "fi_FI",
    "he": "he_IL", "hi": "hi_IN", "hu": "hu_HU", "hy": "hy_AM", "ro": "ro_RO", "sv": "sv_SE", "th": "th_TH", "tr":
    "tr_TR", "uk": "uk_UA", "vi": "vi_VN",
}  # fmt: skip
"""Language -> locale of Faker's texts."""
VARIANTS = (*(f"f{i}" for i in range(1, 6)), *(f"m{i}" for i in range(1, 9)), "Alex", "Andy", "Annie", "Denis", "Gene",
            "Henrique", "Hugo", "Iven", "Jacky", "Lee", "Linda", "Mario", "Max", "Michael", "Mike", "Mr_serious",
            "Reed", "Tweaky", "Zac", "adam", "anika", "antonio", "aunty", "belinda", "benjamin", "boris", "caleb",
            "ed", "edward", "grandma", "grandpa", "john", "kaukovalta", "linda", "marcelo", "max", "michel",
            "miguel", "norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "robosoft", "sandro", "shelby",
            "steph", "travis", "victor", "zac")  # fmt: skip


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("id", _Id),
    )  # fmt: skip


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


class Espeak:
    """The one synthesiser of this process (the library keeps global state).

    Raises:
        RuntimeError: The library is missing: `apt install espeak-ng`.
    """

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng")
        if name is None:
            raise RuntimeError("espeak-ng is missing: apt install espeak-ng")
        self._library: Any = ctypes.CDLL(name)
        self._rate = self._library.espeak_Initialize(_RETRIEVAL, 200, None, _PHONEME_EVENTS | _IPA)
        self._sound: list[NDArray[np.int16]] = []
        self._events: list[tuple[float, str]] = []
        self._callback = _CALLBACK(self._hear)  # kept: ctypes would let it be collected
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, words_per_minute: int, pitch: int, pitch_range: int) -> Utterance | None:
        """Return ``text`` spoken, or None if this voice cannot."""
        library = self._library
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in ((_RATE, words_per_minute), (_PITCH, pitch), (_RANGE, pitch_range)):
            library.espeak_SetParameter(parameter, value, 0)
        self._sound, self._events = [], []
        encoded = text.encode()
        library.espeak_Synth(encoded, ctypes.c_size_t(len(encoded) + 1), 0, _CHARACTERS, 0, _UTF8, None, None)
        library.espeak_Synchronize()
        if not self._sound or len(self._events) < 3:
            return None
        sound = _to_16_khz(np.concatenate(self._sound), self._rate)
        phones = _phones(self._events, len(sound) / 16000)
        return Utterance(sound, tuple(phones)) if phones else None

    def _hear(self, wav: Any, count: int, events: Any) -> int:
        if wav and count:
            self._sound.append(np.ctypeslib.as_array(wav, shape=(count,)).copy())
        i = 0
        while events[i].type != _LIST_END:
            if events[i].type == _PHONEME:
                raw = ctypes.string_at(ctypes.addressof(events[i].id), 8).split(b"\0")[0]
                self._events.append((events[i].audio_position / 1000, raw.decode(errors="ignore")))
            i += 1
        return 0


def _phones(events: list[tuple[float, str]], seconds: float) -> list[Phone]:
    """Return the phones, none if the voice gave up and read letters by their names (it then switches its language).

    A mark of its own (a palatal hook, a release) and a gap under 60 ms belong to the phone before.
    """
    kept: list[tuple[float, str]] = []
    for i, (at, symbol) in enumerate(events):
        if symbol.startswith("("):
            return []
        until = events[i + 1][0] if i + 1 < len(events) else seconds
        plain = unicodedata.normalize("NFD", symbol)
        is_mark = bool(plain) and not is_known(plain)
        is_gap = not plain and until - at < 0.06
        if not (kept and (is_mark or is_gap)):
            kept.append((at, plain))
    ends = [at for at, _ in kept[1:]] + [seconds]
    return [p for (at, symbol), end in zip(kept, ends, strict=True) if end > at for p in spell(symbol, at, end)]


def _to_16_khz(sound: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    from scipy.signal import resample_poly

    if rate == 16000:
        return sound
    divisor = int(np.gcd(rate, 16000))
    resampled = resample_poly(sound.astype(np.float32), 16000 // divisor, rate // divisor)
    return np.clip(np.round(resampled), -32768, 32767).astype(np.int16)
