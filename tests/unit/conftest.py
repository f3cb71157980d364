"""How hypothesis works here: no example has a deadline, because how long one takes is the machine's load."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("studio", deadline=None)
settings.load_profile("studio")
