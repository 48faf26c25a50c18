r"""From a cleaned answer to its shape.

    read("(-\infty, 3] \cup [4, \infty)")  ->  Union((Bracket("(", "]", …), Bracket("[", ")", …)))

Text only: nothing here evaluates anything. What is no bigger thing is a `Leaf`, an expression for expressions.py.
"""

from __future__ import annotations

import re

from rewards.answers.clean import TEXT_CLOSE, TEXT_OPEN
from rewards.answers.dates import day_of_a_month
from rewards.answers.number_words import in_words
from rewards.answers.quantities import compound, quantity
from rewards.answers.shapes import Bracket, Choice, Digits, Leaf, Many, Matrix, Ratio, Relation, Shape, Special, Union, Word

_SPECIALS = {
    "empty": r"no solutions?|none|no (?:real )?(?:solutions?|roots?|values?)|there (?:is|are) no (?:real )?solutions?|(?:the )?empty set|\\emptyset|\\{\s*\\}|no such \w+",
    "reals": r"(?:the set of )?all real(?: number)?s?|(?:the )?reals|\\mathbb\{R\}|\(\s*-\s*\\infty\s*,\s*\+?\s*\\infty\s*\)|any real number|real numbers|all reals",
    "undefined": r"undefined|dne|does not exist|d\.n\.e|doesn't exist|not defined|indeterminate",
    "many": r"infinite(?:ly many)?(?: solutions?)?|infinitely many",
}  # fmt: skip
_SPECIALS_RE = {name: re.compile(pattern, re.IGNORECASE) for name, pattern in _SPECIALS.items()}
_CHOICE = re.compile(
    r"(?:(?:option|choice|answer)\s*)?(?:\(\s*([A-Ja-j])\s*\)|\[\s*([A-J])\s*\]|([A-Ja-j])\s*[).:](?!\S*\d)|([A-J]))(?:\s+(.+))?",
    re.IGNORECASE,
)
_SIGN = re.compile(r"\\(?:le|ge|ne|in|notin|approx|equiv|cong|to)(?![a-zA-Z])|[<>=]")
_SIGN_NAMES = {r"\le": "<=", r"\ge": ">=", r"\ne": "!=", r"\in": "in", r"\approx": "=", r"\equiv": "=", r"\cong": "="}
_MATRIX = re.compile(r"\\begin\s*\{([pbB]?matrix|smallmatrix|array)\}(?:\{[^{}]*\})?(.*)\\end\s*\{\1\}", re.DOTALL)


def read(text: str, depth: int = 0) -> Shape:
    """The shape of a cleaned answer."""
    text = re.split(r"(?<=\S)\s*\\approx(?![a-zA-Z])", text)[0].strip()  # the exact value comes first
    bare = text.replace(TEXT_OPEN, "").replace(TEXT_CLOSE, "").strip()
    if bare == "...":
        return Word(bare)
    if re.fullmatch(rf"{TEXT_OPEN}\s*[-+$]?\d[^{TEXT_OPEN}]*{TEXT_CLOSE}", text):
        text = bare  # \\text{30 dollars}
    for name, pattern in _SPECIALS_RE.items():
        if pattern.fullmatch(bare):
            return Special(name)
    if depth > 4:
        return Leaf(text)
    if (spoken := in_words(bare)) is not None:
        return Leaf(str(spoken))  # the "and" of "two and a half" makes no list
    found = (
        _choice(bare)
        or compound(bare)
        or day_of_a_month(bare)
        or _listed(text, depth)
        or _matrix(text)
        or _bracket(text, depth)
        or _plus_minus(text, depth)
        or _relation(text)
        or _sets(text, depth)
        or _digits(bare)
        or _ratio(bare)
    )
    return found or quantity(text, bare)


def _choice(bare: str) -> Choice | None:
    match = _CHOICE.fullmatch(bare)
    if match is None or (match[4] and (match[5] or (bare[-1:].islower() and len(bare) == 1))):
        return None
    if re.match(r"(?:and|or)\b|[,;&]", match[5] or "", re.IGNORECASE):
        return None  # (A) and (C)
    letter = next(group for group in match.groups()[:4] if group)
    return Choice(letter.upper(), marked=not match[4] or len(bare) > 1, rest=match[5] or "")


def split(text: str, separators: str) -> list[str]:
    """Split where a separator stands outside all brackets."""
    parts, depth, start = [], 0, 0
    pattern = re.compile(separators)
    at = 0
    while at < len(text):
        if text.startswith((r"\{", r"\}"), at):
            depth += 1 if text[at + 1] == "{" else -1
            at += 2
            continue
        if text.startswith((r"\langle", r"\rangle"), at):
            depth += 1 if text[at + 1] == "l" else -1
        elif text.startswith((r"\begin", r"\end"), at):
            depth += 1 if text[at + 1] == "b" else -1
        depth += (text[at] in "([{") - (text[at] in ")]}")
        match = pattern.match(text, at) if depth == 0 else None
        if match and match.end() > at:
            parts.append(text[start:at])
            start = at = match.end()
            continue
        at += 1
    return [*parts, text[start:]]


_JOINED = rf"\s*[,;]?\s*(?:{TEXT_OPEN}\s*,?\s*(?:and|or)\s*{TEXT_CLOSE}|\\vee(?![a-z])|\\lor(?![a-z])|(?<![a-zA-Z])(?:and|or)(?![a-zA-Z]))\s*|\s*{TEXT_OPEN}\s*[,;]\s*(?:and|or)?\s*{TEXT_CLOSE}\s*|\s*;\s*|,"


def _listed(text: str, depth: int) -> Many | None:
    inner = re.fullmatch(rf"{TEXT_OPEN}([^{TEXT_OPEN}{TEXT_CLOSE}]*){TEXT_CLOSE}", text)
    body = inner[1] if inner else text
    # 1,234 is one number; 1, 234 and 12,34 are two.
    if re.fullmatch(r"[^\d]*\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:[^\d,][^,]*)?", body.strip()) and not re.search(r"[(\[{]\s*-?\d", body):
        return None
    pieces = [piece.strip() for piece in split(body, _JOINED)]
    # A comma of the year, of thousands inside a sentence, or an open end leaves an empty piece or none.
    pieces = [piece for piece in pieces if piece]
    if len(pieces) < 2 or len(pieces) > 40:
        return None
    pieces = _shared_head(pieces)
    return Many(tuple(read(f"{TEXT_OPEN}{piece}{TEXT_CLOSE}" if inner else piece, depth + 1) for piece in pieces))


def _shared_head(pieces: list[str]) -> list[str]:
    """`x = 2, 3` says x = 2 and x = 3."""
    match = re.match(r"([a-zA-Z]\s*=)\s*[^=<>]+$", pieces[0])
    if match and not any(_SIGN.search(piece) for piece in pieces[1:]):
        return [pieces[0], *(f"{match[1]} {piece}" for piece in pieces[1:])]
    return pieces


def _relation(text: str) -> Shape | None:
    sides, signs, depth, start = [], [], 0, 0
    for at, sign in enumerate(text):
        depth += (sign in "([{") - (sign in ")]}")
        match = _SIGN.match(text, at) if depth == 0 else None
        if match:
            if match[0] in (r"\notin", r"\to"):
                return None
            sides.append(text[start:at].strip())
            signs.append(_SIGN_NAMES.get(match[0], match[0]))
            start = match.end()
    if not signs or len(signs) > 3:
        return None
    sides.append(text[start:].strip())
    if signs == ["in"]:
        return read(sides[1])
    if not all(sides):
        return None
    if set(signs) == {"="} and not re.search(r"(?<![\\a-zA-Z])[a-zA-Z]{1,3}(?![a-zA-Z])", " ".join(sides)):
        return read(sides[-1])  # 0.56 = 56\\%
    strip = str.maketrans("", "", TEXT_OPEN + TEXT_CLOSE)
    return Relation(tuple(side.translate(strip).strip() for side in sides), tuple(signs))


def _sets(text: str, depth: int) -> Union | None:
    minus = split(text, r"\\setminus(?![a-zA-Z])")
    if len(minus) == 2 and all(minus):
        return Union((read(minus[0], depth + 1),), read(minus[1], depth + 1))
    parts = split(text, r"\\cup(?![a-zA-Z])|(?<=[\])])\s*U\s*(?=[\[(])|∪")
    return Union(tuple(read(part, depth + 1) for part in parts)) if len(parts) > 1 and all(parts) else None


def _matrix(text: str) -> Matrix | None:
    match = _MATRIX.search(text)
    if match:
        if match.end() != len(text) or "\\begin" in match[2]:
            return None
        rows = [row for row in re.split(r"\\\\(?:\[[^\]]*\])?", match[2]) if row.strip()]
        return Matrix(tuple(tuple(cell.strip() for cell in row.split("&")) for row in rows), text[: match.start()].strip(" *"))
    if re.fullmatch(r"\[\s*\[.*\]\s*\]", text, re.DOTALL):
        rows = split(text[1:-1].strip(), r"\s*,\s*")
        if all(re.fullmatch(r"\[[^\[\]]*\]", row.strip()) for row in rows):
            return Matrix(tuple(tuple(cell.strip() for cell in split(row.strip()[1:-1], ",")) for row in rows))
    return None


def _bracket(text: str, depth: int) -> Bracket | None:
    # ]1, 2[ is (1, 2).
    if re.fullmatch(r"[\][].*,.*[\][]", text) and (text[0] == "]" or text[-1] == "["):
        text = ("(" if text[0] == "]" else "[") + text[1:-1] + (")" if text[-1] == "[" else "]")
    if text.startswith((r"\{", "{")) and text.endswith((r"\}", "}")):
        body = text[2:-2] if text.startswith(r"\{") else text[1:-1]
        opened, closed = "{", "}"
        if not text.startswith(r"\{") and not re.search(r"[,|:]", body):
            return None
    elif text.startswith(r"\langle") and text.endswith(r"\rangle"):
        body, opened, closed = text[7:-7], "(", ")"
    elif text[:1] in ("(", "[") and text[-1:] in (")", "]"):
        body, opened, closed = text[1:-1], text[0], text[-1]
    else:
        return None
    if not _balanced(body):
        return None
    builder = re.fullmatch(r"\s*([a-zA-Z]|\([a-z]\s*,\s*[a-z]\))\s*(?:\\in\s*\\mathbb\{R\}(?:\^2)?)?\s*(?:\||:|\\mid)\s*(.+)", body)
    if opened == "{" and builder:
        return Bracket("{", "}", (read(builder[2], depth + 1),))
    items = [item.strip() for item in split(body, r"\s*[,;]\s*")]
    if not all(items) or (len(items) < 2 and opened != "{"):
        return None
    return Bracket(opened, closed, tuple(read(item, depth + 1) for item in items))


def _balanced(body: str) -> bool:
    """Whether the brackets around `body` belong to each other."""
    depth = 0
    for sign in body.replace(r"\{", "(").replace(r"\}", ")"):
        depth += (sign in "([{") - (sign in ")]}")
        if depth < 0:
            return False
    return depth == 0


def _plus_minus(text: str, depth: int) -> Many | None:
    text = re.sub(r"\+/-|\+-", r"\\pm ", text)
    if not re.search(r"\\[pm][mp](?![a-zA-Z])", text) or depth > 3:
        return None
    upper = re.sub(r"\\mp(?![a-zA-Z])", "-", re.sub(r"\\pm(?![a-zA-Z])", "+", text)).strip()
    lower = re.sub(r"\\mp(?![a-zA-Z])", "+", re.sub(r"\\pm(?![a-zA-Z])", "-", text)).strip()
    return Many((read(upper.removeprefix("+").strip(), depth + 1), read(lower.removeprefix("+").strip(), depth + 1)))


def _digits(bare: str) -> Digits | None:
    match = re.fullmatch(r"([0-9A-Z]+)\s*_\s*\{?\s*(\d{1,2}|two|three|four|five|six|seven|eight|nine|ten)\s*\}?", bare)
    if match is None:
        match = re.fullmatch(r"([0-9A-Z]+)\s*(?:in\s+)?(?:\()?base\s+(\w+)\)?", bare)
    if match is None:
        return None
    base = str(in_words(match[2]) or match[2])
    if not re.search(r"\d", match[1]) and (not base.isdigit() or int(base) <= 10):
        return None  # x_2
    return Digits(match[1], int(base)) if base.isdigit() and 2 <= int(base) <= 36 else None


def _ratio(bare: str) -> Ratio | None:
    hour = re.fullmatch(r"(\d{1,2})\s*(?:([ap])\.?\s*m\.?|o'clock)", bare, re.IGNORECASE)
    if hour:
        return Ratio((hour[1], "00"), f"{hour[2].lower()}m" if hour[2] else "")
    bare = re.sub(r"(?<=\d) to (?=\d)", ":", bare)
    bare = re.sub(r"\\!|\\colon", lambda m: ":" if m[0] == r"\colon" else "", bare)
    match = re.fullmatch(r"([^:\s]+(?:\s*:\s*[^:\s]+)+)\s*([ap]\.?\s*m\.?)?", bare, re.IGNORECASE)
    if match is None:
        return None
    parts = [part.strip() for part in match[1].split(":")]
    if not all(re.fullmatch(r"[\d./\\{}a-z]+", part) for part in parts):
        return None
    return Ratio(tuple(parts), (match[2] or "").lower().replace(".", "").replace(" ", ""))
