"""Does a response meet a constraint? One checker for each id of IFEval (arXiv 2311.07911), written from what the ids say.

    broken("no, never", (("punctuation:no_comma", {}),))  ->  ["punctuation:no_comma"]

A checker takes the response and the row's arguments by name, and raises KeyError where one is missing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable
from typing import Any

from planner.errors import UserError
from selftrain.pairs.languages import language

Arguments = dict[str, Any]
Checker = Callable[[str, Arguments], bool]

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_DIVIDER = re.compile(r"\s?\*{3}\s?")
# Only marks are looked for: a list without any, and an address after it, would otherwise cost its length cubed.
_SENTENCE_END = re.compile(r"(?<=[\w)\"'])[.!?…]+(?=\s|$)")
_MARK = re.compile("[.!?…]")
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|a\.m|p\.m|U\.S|No)\.|(?<=\d)\.(?=\d)|\b[A-Z]\.(?=\s?[A-Z])"
)


def broken(response: str, constraints: Iterable[tuple[str, Arguments]]) -> list[str]:
    """The ids of the constraints that a response does not meet.

    Raises:
        UserError: an argument is missing.
    """
    found = []
    for name, arguments in constraints:
        try:
            if not CHECKS[name](response, arguments):
                found.append(name)
        except KeyError as error:
            raise UserError(f"constraint {name!r} lacks its argument {error}; mend the row's kwargs") from None
    return found


_TEXTS = frozenset(
    {"keyword", "letter", "first_word", "postscript_marker", "section_spliter", "end_phrase", "prompt_to_repeat", "language"}
)
_LISTS = frozenset({"keywords", "forbidden_words"})
_RELATIONS = frozenset({"relation", "let_relation", "capital_relation"})


def check_arguments(name: str, arguments: Arguments) -> None:
    """Refuse arguments that a checker would read as something else, or not at all.

    Raises:
        UserError: one is missing, of another type, or a relation that there is not.
    """
    for argument, value in arguments.items():
        if argument in _TEXTS:
            fits, wanted = isinstance(value, str) and bool(value.strip()), "a text"
        elif argument in _LISTS:
            fits = isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)
            wanted = "a list of texts"
        elif argument in _RELATIONS:
            fits, wanted = value in ("less than", "at least"), "'less than' or 'at least'"
        else:
            least = 1 if argument == "nth_paragraph" else 0
            whole = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value == int(value)
            fits, wanted = whole and value >= least, f"a whole number from {least}"
        if not fits:
            raise UserError(f"constraint {name!r}: {argument} is {value!r}, not {wanted}; mend the row's kwargs")
    broken("A trial.", ((name, arguments),))  # says what is missing


def _compares(count: int, relation: str, wanted: int) -> bool:
    """IFEval's two relations."""
    return count < wanted if relation == "less than" else count >= wanted


def words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['’-]\w+)*", text)


def sentences(text: str) -> int:
    """Sentences, by their final marks; words after the last mark are one more."""
    text = _ABBREVIATION.sub("", text)
    return len(_SENTENCE_END.findall(text)) + bool(words(_MARK.split(text)[-1]))


def paragraphs(text: str) -> list[str]:
    return [one for one in re.split(r"\n\s*\n", text.strip()) if one.strip()]


def _frequency(text: str, arguments: Arguments) -> bool:
    count = len(re.findall(re.escape(arguments["keyword"]), text, re.IGNORECASE))
    return _compares(count, arguments["relation"], arguments["frequency"])


def _letters(text: str, arguments: Arguments) -> bool:
    return _compares(text.lower().count(arguments["letter"].lower()), arguments["let_relation"], arguments["let_frequency"])


def _divided(text: str, arguments: Arguments) -> bool:
    parts = _DIVIDER.split(text)
    # Dividers at the very start or end enclose nothing and are let be.
    inner = parts[1 if not parts[0].strip() else 0 : len(parts) - (not parts[-1].strip())]
    return len(inner) == arguments["num_paragraphs"] and all(part.strip() for part in inner)


def _first_word(text: str, arguments: Arguments) -> bool:
    found = paragraphs(text)
    nth = arguments["nth_paragraph"]
    if len(found) != arguments["num_paragraphs"] or nth > len(found):
        return False
    first = words(found[nth - 1])
    return bool(first) and first[0].lower() == str(arguments["first_word"]).lower()


def _postscript(text: str, arguments: Arguments) -> bool:
    letters = [re.escape(letter) for letter in re.findall(r"\w", arguments["postscript_marker"])]
    return re.search(r"(?:^|\n)[^\S\n]*+" + r"\.?\s?".join(letters) + r"\.?.*", text, re.IGNORECASE) is not None


def _sections(text: str, arguments: Arguments) -> bool:
    splitter = re.escape(arguments["section_spliter"])
    return len(re.findall(rf"(?:^|\s|\W){splitter}\s?\d+", text)) >= int(arguments["num_sections"])


def _highlights(text: str, arguments: Arguments) -> bool:
    bold = [one for one in re.findall(r"\*\*([^\n*]+)\*\*", text) if one.strip()]
    plain = [one for one in re.findall(r"(?<!\*)\*([^\n*]+)\*(?!\*)", text) if one.strip()]
    return len(bold) + len(plain) >= int(arguments["num_highlights"])


def _json(text: str, arguments: Arguments) -> bool:
    bare = re.sub(r"^\s*```(?:json|JSON|Json)?|```\s*$", "", text).strip()
    try:
        json.loads(bare)
    except (ValueError, RecursionError):
        return False
    return True


def _two_responses(text: str, arguments: Arguments) -> bool:
    parts = [one.strip() for one in text.split("******")]
    inner = [one for index, one in enumerate(parts) if one or 0 < index < len(parts) - 1]
    return len(inner) == 2 and all(inner) and inner[0] != inner[1]


def _capitals(text: str, arguments: Arguments) -> bool:
    count = sum(word.isupper() for word in words(text))
    return _compares(count, arguments["capital_relation"], arguments["capital_frequency"])


def _bullets(text: str, arguments: Arguments) -> bool:
    return len(re.findall(r"^[^\S\n]*+(?:\*(?!\*)|-)\s*+\S", text, re.MULTILINE)) == int(arguments["num_bullets"])


def _ends(text: str, arguments: Arguments) -> bool:
    return text.strip().strip('"').lower().endswith(arguments["end_phrase"].strip().lower())


def _repeats(text: str, arguments: Arguments) -> bool:
    return text.strip().lower().startswith(arguments["prompt_to_repeat"].strip().lower())


def _forbidden(text: str, arguments: Arguments) -> bool:
    return not any(re.search(rf"\b{re.escape(word)}\b", text, re.IGNORECASE) for word in arguments["forbidden_words"])


CHECKS: dict[str, Checker] = {
    "keywords:existence": lambda text, a: all(word.lower() in text.lower() for word in a["keywords"]),
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": lambda text, a: language(text) == a["language"],
    "length_constraints:number_sentences": lambda text, a: _compares(sentences(text), a["relation"], a["num_sentences"]),
    "length_constraints:number_paragraphs": _divided,
    "length_constraints:number_words": lambda text, a: _compares(len(words(text)), a["relation"], a["num_words"]),
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": lambda text, a: len(re.findall(r"\[[^\[\]\n]+\]", text)) >= a["num_placeholders"],
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": lambda text, a: any(answer in text for answer in _ANSWERS),
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": lambda text, a: re.search(r"<<[^\n<>]*\S[^\n<>]*>>", text) is not None,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats,
    "startend:end_checker": _ends,
    "startend:quotation": lambda text, a: len(text.strip()) > 1 and text.strip()[0] == text.strip()[-1] == '"',
    "change_case:capital_word_frequency": _capitals,
    "change_case:english_capital": lambda text, a: text.isupper() and language(text) == "en",
    "change_case:english_lowercase": lambda text, a: text.islower() and language(text) == "en",
    "punctuation:no_comma": lambda text, a: "," not in text,
}
