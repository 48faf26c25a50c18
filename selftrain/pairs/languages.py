"""Which language a text is in, by py3langid (ISO 639-1 code, the same on every machine), and its words in any script."""

from __future__ import annotations

import re

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Thai, Lao, Burmese, Khmer, Japanese, Chinese: no blanks between words."""
_WORD = re.compile(rf"[{_UNSPACED}]|(?:(?![{_UNSPACED}])\w)+")
_ENOUGH = 2000
"""Characters that are looked at."""


def language(text: str) -> str:
    """The likeliest language of a text. Case is no clue, so that capitals are not taken for another language."""
    import py3langid  # brings numpy, and its model takes a moment

    return str(py3langid.classify(text[:_ENOUGH].lower())[0])


def words(text: str) -> list[str]:
    """A text's words in lower case; of scripts that put no blanks between them, each sign by itself."""
    return _WORD.findall(text.lower())


def normal(text: str) -> str:
    """A text whatever its case, spacing and punctuation; a text of signs alone is itself."""
    return " ".join(re.findall(r"\w+", text.lower())) or text.strip()
