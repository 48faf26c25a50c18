"""Does a response meet a requirement? One mechanical checker for each kind of builtin pair.

    check("sentence_count", "2", "It rained. We stayed.")  ->  True

A checker reads the requirement and the response and nothing else, so any label can be verified again from a pair's notes.
sympy does the arithmetic, and is imported by the first sum that is checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache

from selftrain.pairs import topics

Checker = Callable[[str, str], bool]

_PRONOUNS = {
    "first": frozenset({"i", "we", "me", "us", "my", "our"}),
    "second": frozenset({"you", "your"}),
    "third": frozenset({"he", "she", "they", "him", "her", "them", "his", "their"}),
}
_MARKS = {"exclamation": r"!", "question": r"\?", "dots": r"\.\.\.", "stop": r"(?<!\.)\."}
_WRAPS = {"quotes": ('"', '"'), "parentheses": ("(", ")"), "brackets": ("[", "]"), "stars": ("*", "*")}
SEPARATORS = {"hyphen": "-", "underscore": "_", "slash": "/", "plus": "+"}
_XML = re.compile(r"<(\w+)>(?:[^<>]+|(?:<(\w+)>[^<>]+</\2>\s*)+)</\1>")
_SUM = re.compile(r"\d{1,4} [-+*] \d{1,4}")

_PAST = frozenset(past for _, past, _, _ in topics.ACTIONS)
_ING = frozenset(ing for _, _, ing, _ in topics.ACTIONS)


def words(text: str) -> list[str]:
    """The words of a text in lower case, without digits and punctuation."""
    return re.findall(r"[^\W\d_]+", text.lower())


def items(response: str) -> list[str]:
    """The items of a list, whichever of the three shapes it has."""
    lines = response.strip().splitlines()
    if len(lines) == 1:
        return [item.strip(" .") for item in lines[0].split(",")]
    return [re.sub(r"^(?:- |\d+\. )", "", line).strip() for line in lines]


@lru_cache(maxsize=4096)
def value(expression: str) -> int:
    """What a sum comes to, by sympy."""
    # sympy's parser evaluates Python, so nothing but digits and one operator may reach it.
    if not _SUM.fullmatch(expression):
        raise ValueError(f"{expression!r} is no sum of two numbers such as '12 + 7'")
    from sympy.parsing.sympy_parser import parse_expr

    return int(parse_expr(expression))


def _lexicons() -> dict[str, frozenset[str]]:
    """Language -> the words of its phrase book."""
    rows = topics.FOREIGN_SUBJECTS + topics.FOREIGN_VERBS + topics.FOREIGN_PLACES
    return {language: frozenset(words(" ".join(row[language] for row in rows))) for language in topics.LANGUAGES}


_LEXICONS = _lexicons()
_TOPIC_WORDS = {
    topic: frozenset(words(" ".join(" ".join(bank) for bank in banks))) - topics.SMALL_WORDS
    for topic, banks in topics.TOPICS.items()
}


def _leads(lexicons: dict[str, frozenset[str]], name: str, response: str) -> bool:
    """Whether the response has more words of `name` than of any rival."""
    counts = {rival: sum(word in lexicon for word in words(response)) for rival, lexicon in lexicons.items()}
    return counts[name] > max(count for rival, count in counts.items() if rival != name)


def _letter_case(requirement: str, response: str) -> bool:
    if requirement == "title":
        return len(response.split()) > 1 and all(word[0].isupper() and word[1:] == word[1:].lower() for word in response.split())
    return response.isupper() if requirement == "upper" else response.islower()


def _list_shape(requirement: str, response: str) -> bool:
    lines = response.strip().splitlines()
    if requirement == "commas":
        return len(lines) == 1 and "," in response
    if requirement == "bullets":
        return len(lines) > 1 and all(line.startswith("- ") for line in lines)
    return len(lines) > 1 and all(line.startswith(f"{i}. ") for i, line in enumerate(lines, 1))


def _length(requirement: str, response: str) -> bool:
    bound, _, number = requirement.partition(" ")
    count = len(response.split())
    return 0 < count <= int(number) if bound == "max" else count >= int(number)


def _json_object(response: str) -> dict[str, object] | None:
    try:
        parsed = json.loads(response)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _data_format(requirement: str, response: str) -> bool:
    if requirement == "json":
        return _json_object(response) is not None
    if requirement == "xml":
        return _XML.fullmatch(response.strip()) is not None
    commas = {line.count(",") for line in response.strip().splitlines()}
    return len(response.strip().splitlines()) > 1 and len(commas) == 1 and 0 not in commas and not re.search(r"[<>{}]", response)


def _answer(requirement: str, response: str) -> bool:
    """Whether the one number of the response is what the sum comes to."""
    return [int(number) for number in re.findall(r"\d+", response)] == [value(requirement)]


def _person(requirement: str, response: str) -> bool:
    return {name for name, pronouns in _PRONOUNS.items() if pronouns & set(words(response))} == {requirement}


def _tense(requirement: str, response: str) -> bool:
    said = set(words(response))
    if "will" in said:
        return requirement == "future"
    if said & {"is", "are", "am"}:
        return requirement == "present" and bool(said & _ING)
    return requirement == "past" and bool(said & _PAST)


def _wrapping(requirement: str, response: str) -> bool:
    left, right = _WRAPS[requirement]
    return len(response) > 2 and response.startswith(left) and response.endswith(right)


def _numerals(requirement: str, response: str) -> bool:
    digits = bool(re.search(r"\d", response))
    return digits if requirement == "digits" else not digits and bool(set(topics.NUMBER_WORDS) & set(words(response)))


def _tone(requirement: str, response: str) -> bool:
    text = response.lower()
    return {tone for tone, phrases in topics.TONES.items() if any(phrase in text for phrase in phrases)} == {requirement}


def _separator(requirement: str, response: str) -> bool:
    used = {name for name, sign in SEPARATORS.items() if sign in response}
    return used == {requirement} and not re.search(r"\s", response)


CHECKERS: dict[str, Checker] = {
    "letter_case": _letter_case,
    "keyword": lambda requirement, response: requirement in words(response),
    "forbidden_word": lambda requirement, response: bool(response.strip()) and requirement not in words(response),
    "opening": lambda requirement, response: response.startswith(requirement),
    "ending": lambda requirement, response: response.endswith(requirement),
    "list_shape": _list_shape,
    "item_count": lambda requirement, response: len(items(response)) == int(requirement),
    "category": lambda requirement, response: set(items(response)) <= set(topics.CATEGORIES[requirement]),
    "sentence_count": lambda requirement, response: len(re.findall(r"[.!?]+(?=\s|$)", response)) == int(requirement),
    "length": _length,
    "json_key": lambda requirement, response: requirement in (_json_object(response) or {}),
    "data_format": _data_format,
    "language": lambda requirement, response: _leads(_LEXICONS, requirement, response),
    "topic": lambda requirement, response: _leads(_TOPIC_WORDS, requirement, response),
    "arithmetic": _answer,
    "word_problem": _answer,
    "end_mark": lambda requirement, response: re.search(f"{_MARKS[requirement]}$", response) is not None,
    "person": _person,
    "tense": _tense,
    "subject": lambda requirement, response: requirement in response.lower(),
    "copy": lambda requirement, response: response == requirement,
    "wrapping": _wrapping,
    "tone": _tone,
    "numerals": _numerals,
    "first_letter": lambda requirement, response: response.startswith(requirement),
    "separator": _separator,
}


def check(kind: str, requirement: str, response: str) -> bool:
    """Whether `response` meets `requirement`, one of the requirements of `kind`."""
    if kind not in CHECKERS:
        raise ValueError(f"no kind {kind!r}; choose from {', '.join(CHECKERS)}")
    return CHECKERS[kind](requirement, response)
