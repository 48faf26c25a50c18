"""Which language a text is in, by py3langid: ISO 639-1 code, the same on every machine."""

from __future__ import annotations

_ENOUGH = 2000
"""Characters that are looked at."""


def language(text: str) -> str:
    """The likeliest language of a text. Case is no clue, so that capitals are not taken for another language."""
    import py3langid  # brings numpy, and its model takes a moment

    return str(py3langid.classify(text[:_ENOUGH].lower())[0])
