"""The kinds of builtin pairs: how two responses are written so that each meets the requirement that the other breaks.

A kind is a function from a `Draw` to a `Base`. Its two responses are as like each other as the requirements allow, so that the
requirement is all there is to judge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from selftrain.pairs import topics
from selftrain.pairs.checks import SEPARATORS
from selftrain.pairs.draw import Base, Clause, Draw, sentence, set_of, value_text


def _pick(draw: Draw, written: Mapping[str, str], clause: Clause) -> Base:
    """Two of the ways, requirement -> response, in which a clause can be written."""
    x, y = draw.two(list(written))
    return Base(x, y, written[x], written[y], (clause.text,), clause.fields)


def _letter_case(draw: Draw) -> Base:
    clause = draw.clause()
    text = f"{clause.fact}{draw.tail()}."
    return _pick(draw, {"upper": text.upper(), "lower": text.lower(), "title": text.title()}, clause)


def _near(draw: Draw) -> tuple[Clause, dict[str, str]]:
    """Keyword -> a sentence with it."""
    clause, near = draw.clause(), draw.one(topics.NEAR)
    return clause, {word: sentence(f"{clause.fact} {near} {word}") for word in draw.two(topics.KEYWORDS)}


def _keyword(draw: Draw) -> Base:
    clause, near = _near(draw)
    return _pick(draw, near, clause)


def _forbidden_word(draw: Draw) -> Base:
    clause, near = _near(draw)
    (word, text), (other, other_text) = near.items()
    return _pick(draw, {word: other_text, other: text}, clause)


def _opening(draw: Draw) -> Base:
    clause = draw.clause()
    text = f"{clause.fact}{draw.tail()}."
    return _pick(draw, {opening: f"{opening} {text}" for opening in topics.OPENINGS}, clause)


def _ending(draw: Draw) -> Base:
    clause = draw.clause()
    text = sentence(clause.fact + draw.tail())
    return _pick(draw, {ending: f"{text} {ending}" for ending in topics.ENDINGS}, clause)


_SHAPES: dict[str, Callable[[list[str]], str]] = {
    "bullets": lambda items: "\n".join(f"- {item}" for item in items),
    "numbers": lambda items: "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1)),
    "commas": ", ".join,
}


def _list_shape(draw: Draw) -> Base:
    category = draw.one(list(topics.CATEGORIES))
    items = draw.items(category, 3)
    x, y = draw.two(list(_SHAPES))
    return Base(x, y, _SHAPES[x](items), _SHAPES[y](items), (set_of(items),), {"about": category, "asker": draw.person()})


def _item_count(draw: Draw) -> Base:
    category, shape = draw.one(list(topics.CATEGORIES)), _SHAPES[draw.one(list(_SHAPES))]
    x, y = draw.two((2, 3, 4, 5))
    first, second = draw.items(category, x), draw.items(category, y)
    return Base(
        str(x), str(y), shape(first), shape(second), (set_of(first), set_of(second)), {"about": category, "asker": draw.person()}
    )


def _category(draw: Draw) -> Base:
    shape, count = _SHAPES[draw.one(list(_SHAPES))], draw.one((2, 3, 4))
    x, y = draw.two(list(topics.CATEGORIES))
    first, second = draw.items(x, count), draw.items(y, count)
    return Base(x, y, shape(first), shape(second), (set_of(first), set_of(second)), {"asker": draw.person()})


def _sentence_count(draw: Draw) -> Base:
    x, y = draw.two((1, 2, 3))
    clauses = [draw.clause() for _ in range(max(x, y))]
    said = [sentence(clause.fact) for clause in clauses]
    texts = tuple(clause.text for clause in clauses)
    return Base(str(x), str(y), " ".join(said[:x]), " ".join(said[:y]), texts, clauses[0].fields)


def _length(draw: Draw) -> Base:
    clause = draw.clause()
    short = sentence(clause.fact)
    long = sentence(f"{clause.fact} {draw.one(topics.PLACES)} {draw.one(topics.TIMES)} {draw.one(topics.EXTRAS)}")
    most, least = len(short.split()) + draw.one((0, 1)), len(long.split()) - draw.one((0, 1, 2))
    return _pick(draw, {f"max {most}": short, f"min {least}": long}, clause)


def _json_key(draw: Draw) -> Base:
    clause = draw.clause()
    return _pick(draw, {key: json.dumps({key: sentence(clause.fact)}) for key in topics.JSON_KEYS}, clause)


def _data_format(draw: Draw) -> Base:
    clause = draw.clause()
    who, did = clause.subject, f"{clause.past} {clause.object}"
    written = {
        "json": json.dumps({"who": who, "did": did}),
        "xml": f"<fact><who>{who}</who><did>{did}</did></fact>",
        "csv": f"who,did\n{who},{did}",
    }
    return _pick(draw, written, clause)


def _language(draw: Draw) -> Base:
    banks = (topics.FOREIGN_SUBJECTS, topics.FOREIGN_VERBS, topics.FOREIGN_PLACES)
    rows = draw.own(lambda: [draw.one(bank) for bank in banks], lambda rows: " ".join(row["english"] for row in rows))
    english = " ".join(row["english"] for row in rows)
    x, y = draw.two(topics.LANGUAGES)
    first, second = (" ".join(row[language] for row in rows) + "." for language in (x, y))
    fact = english[0].lower() + english[1:]
    return Base(x, y, first, second, (english,), {"fact": fact})


def _topic(draw: Draw) -> Base:
    def scene(topic: str) -> tuple[str, str]:
        agents, objects, places = topics.TOPICS[topic]
        core = draw.own(lambda: f"{draw.one(agents)} {draw.one(topics.TOPIC_VERBS)} {draw.one(objects)}", str)
        return core, sentence(f"{core} {draw.one(places)}")

    x, y = draw.two(list(topics.TOPICS))
    (core_x, first), (core_y, second) = scene(x), scene(y)
    return Base(x, y, first, second, (core_x, core_y), {"asker": draw.person()})


def _arithmetic(draw: Draw) -> Base:
    x, value_x = draw.sum("+-*")
    y, value_y = draw.sum("+-*", avoid=value_x)
    form = draw.one(("{}", "{}.", "It is {}.", "The answer is {}.", "That makes {}.", "The result is {}.", "I get {}."))
    return Base(x, y, form.format(value_x), form.format(value_y), (value_text(value_x), value_text(value_y)))


def _word_problem(draw: Draw) -> Base:
    x, value_x = draw.sum("+-")
    y, value_y = draw.sum("+-", avoid=value_x)
    name, items = draw.one(topics.NAMES), draw.one(topics.ITEMS)
    form = draw.one((f"{name} has {{}} {items}.", f"{{}} {items}.", f"There are {{}} {items}.", f"{name} ends up with {{}}."))
    texts = (value_text(value_x), value_text(value_y))
    return Base(x, y, form.format(value_x), form.format(value_y), texts, {"name": name, "items": items})


def _end_mark(draw: Draw) -> Base:
    clause = draw.clause()
    text = sentence(clause.fact + draw.tail())[:-1]
    return _pick(draw, {"exclamation": f"{text}!", "question": f"{text}?", "dots": f"{text}...", "stop": f"{text}."}, clause)


def _person(draw: Draw) -> Base:
    clause = draw.clause()
    said = f"{draw.one(topics.HEARD)} {clause.fact}."
    first, third = draw.one(("I", "We")), draw.one(("He", "She", "They"))
    return _pick(draw, {"first": f"{first} {said}", "second": f"You {said}", "third": f"{third} {said}"}, clause)


def _tense(draw: Draw) -> Base:
    clause, tail = draw.clause(), draw.one(("", f" {draw.one(topics.PLACES)}"))
    verbs = {"past": clause.past, "present": f"is {clause.ing}", "future": f"will {clause.base}"}
    return _pick(draw, {t: sentence(f"{clause.subject} {verb} {clause.object}{tail}") for t, verb in verbs.items()}, clause)


def _two_clauses(draw: Draw) -> tuple[Clause, Clause]:
    """Two different people."""
    first = draw.clause()
    while (second := draw.clause()).subject == first.subject:
        pass
    return first, second


def _subject(draw: Draw) -> Base:
    x, y = _two_clauses(draw)
    tail = draw.tail()
    return Base(x.subject, y.subject, sentence(x.fact + tail), sentence(y.fact + tail), (x.text, y.text))


def _copy(draw: Draw) -> Base:
    x, y = _two_clauses(draw)
    tail = draw.tail()
    first, second = sentence(x.fact + tail), sentence(y.fact + tail)
    return Base(first, second, first, second, (x.text, y.text))


def _wrapping(draw: Draw) -> Base:
    clause = draw.clause()
    text = sentence(clause.fact + draw.tail())
    return _pick(draw, {"quotes": f'"{text}"', "parentheses": f"({text})", "brackets": f"[{text}]", "stars": f"*{text}*"}, clause)


def _tone(draw: Draw) -> Base:
    clause = draw.clause()
    return _pick(draw, {t: sentence(f"{clause.fact} {draw.one(felt)}") for t, felt in topics.TONES.items()}, clause)


def _numerals(draw: Draw) -> Base:
    clause, span = draw.clause(), draw.one(topics.SPANS)
    # The bank's number words begin at two.
    number, word = draw.one(list(enumerate(topics.NUMBER_WORDS, 2)))
    written = {"digits": f"{clause.fact} after {number} {span}", "words": f"{clause.fact} after {word} {span}"}
    return _pick(draw, {form: sentence(text) for form, text in written.items()}, clause)


def _first_letter(draw: Draw) -> Base:
    clause, heard = draw.clause(), draw.one(topics.HEARD)
    return _pick(draw, {name[0]: f"{name} {heard} {clause.fact}." for name in topics.NAMES}, clause)


def _separator(draw: Draw) -> Base:
    clause = draw.clause()
    text = sentence(clause.fact + draw.tail())
    return _pick(draw, {name: text.replace(" ", sign) for name, sign in SEPARATORS.items()}, clause)


KNOWN: dict[str, Callable[[Draw], Base]] = {
    "letter_case": _letter_case,
    "keyword": _keyword,
    "forbidden_word": _forbidden_word,
    "opening": _opening,
    "ending": _ending,
    "list_shape": _list_shape,
    "item_count": _item_count,
    "category": _category,
    "sentence_count": _sentence_count,
    "length": _length,
    "json_key": _json_key,
    "data_format": _data_format,
    "language": _language,
    "topic": _topic,
    "arithmetic": _arithmetic,
    "word_problem": _word_problem,
    "end_mark": _end_mark,
    "person": _person,
    "tense": _tense,
    "subject": _subject,
    "copy": _copy,
}
UNSEEN: dict[str, Callable[[Draw], Base]] = {
    "wrapping": _wrapping,
    "tone": _tone,
    "numerals": _numerals,
    "first_letter": _first_letter,
    "separator": _separator,
}
