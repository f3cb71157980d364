"""The measuring client: visits a studio as its clients do, measures what comes back, says whether it is good enough.

`order` says what is wanted, `visit` goes there by one of three ways (`images`, `recital`, `conversation`), `intake`
notes what arrives and when, `screen` decodes it beside, `figures` makes numbers of it and `report` a page. Everything
that a server sends counts as hostile: sizes, lengths, counts and times are bounded, texts are cleaned.
"""
