"""How a requirement that is a value, and no word to quote, is said: `upper` is "capital letters".

`#` in a phrase is the requirement's number. Held-out phrases go with held-out templates (`wordings`). Data only.
"""

from __future__ import annotations

from typing import NamedTuple


class Worded(NamedTuple):
    """Ways to say the same thing."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]


def _phrases(**values: str) -> dict[str, Worded]:
    """`value="training, training / held out"`; without a slash the training phrases serve held-out templates too."""
    phrases = {}
    for value, text in values.items():
        training, _, held_out = text.partition(" / ")
        # A value that is a number is written `_2` here, since a keyword argument must be a name.
        phrases[value.strip("_")] = Worded(tuple(training.split(", ")), tuple((held_out or training).split(", ")))
    return phrases


PHRASES: dict[str, dict[str, Worded]] = {
    "letter_case": _phrases(
        upper="capital letters, upper case / block capitals",
        lower="small letters, lower case / lowercase letters",
        title="title case / headline case",
    ),
    "list_shape": _phrases(
        bullets="a bullet list, a list with dashes / bullet points",
        numbers="a numbered list, a list with numbers / numbered points",
        commas="one line with commas, a list on one line / a comma-separated line",
    ),
    "item_count": _phrases(_2="two / 2", _3="three / 3", _4="four / 4", _5="five / 5"),
    "sentence_count": _phrases(
        _1="one sentence, exactly one sentence / a single sentence",
        _2="two sentences, exactly two sentences / 2 sentences",
        _3="three sentences, exactly three sentences / 3 sentences",
    ),
    "length": _phrases(
        max="at most # words, # words or fewer / no more than # words",
        min="at least # words, # words or more / no fewer than # words",
    ),
    "data_format": _phrases(json="JSON / a JSON object", xml="XML / an XML element", csv="CSV / comma-separated values"),
    "language": _phrases(english="English", french="French", spanish="Spanish", german="German", italian="Italian"),
    "topic": _phrases(
        sea="the sea / the ocean",
        kitchen="the kitchen / cooking",
        garden="a garden / gardening",
        space="outer space / astronomy",
        school="school / learning",
        winter="winter / cold weather",
        music="music / a concert",
        hospital="a hospital / health care",
        football="football / soccer",
        traffic="city traffic / road transport",
    ),
    "word_problem": {
        "+": Worded(("buys # more", "finds # more", "gets # more"), ("is given # extra", "adds another #")),
        "-": Worded(("loses #", "gives away #", "sells #"), ("hands # to a friend", "throws # away")),
    },
    "end_mark": _phrases(
        exclamation="an exclamation mark / an exclamation point",
        question="a question mark / the mark for questions",
        dots="three dots / an ellipsis",
        stop="a full stop / a period",
    ),
    "person": _phrases(
        first="the first person / first-person style",
        second="the second person / second-person style",
        third="the third person / third-person style",
    ),
    "tense": _phrases(
        past="the past tense / past form",
        present="the present tense / present form",
        future="the future tense / future form",
    ),
    "wrapping": _phrases(
        quotes="double quotes / quotation marks",
        parentheses="parentheses / round brackets",
        brackets="square brackets / the brackets [ and ]",
        stars="asterisks / stars",
    ),
    "tone": _phrases(
        happy="a happy tone / a joyful mood",
        sad="a sad tone / a sorrowful mood",
        angry="an angry tone / a furious mood",
        calm="a calm tone / a peaceful mood",
        afraid="a frightened tone / a fearful mood",
    ),
    "numerals": _phrases(digits="digits / figures", words="words / letters"),
    "separator": _phrases(
        hyphen="hyphens, dashes / the sign -",
        underscore="underscores / the sign _",
        slash="slashes / the sign /",
        plus="plus signs / the sign +",
    ),
}
