"""How the portrait engine's mouth was learned: speech is synthesised, networks are trained, scored and written down.

``python -m training`` does all of it (`README.md` says what it needs). Nothing of this is needed at run time, and
nothing in ``studio/`` imports it; it imports the features that the studio hears with.
"""
