"""How the portrait engine's mouth was learned: synthesises speech, trains, evaluates, writes the weights and their card.

``python -m training`` does all of it (`README.md` says what it needs). Nothing of this is needed at run time, and nothing in
``studio/`` imports it; it imports the features that the studio hears with.
"""
