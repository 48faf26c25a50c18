r"""One spelling for an answer: LaTeX layout, Unicode signs and wrappers are taken away, what is said stays.

    clean(r"$\boxed{1{,}234\,\text{ cm}^{2}}$.")  ->  "1234 ⟨ cm⟩^{2}"

Words that LaTeX marks as text stay marked, between ⟨ and ⟩, because `5\text{m}` has a unit and `5m` a factor.
"""

from __future__ import annotations

import re
import unicodedata

TEXT_OPEN, TEXT_CLOSE = "⟨", "⟩"
_BLANK = re.compile(r"(?<!\d)[\s⟨⟩]+|[\s⟨⟩]+(?![.\d\s⟨⟩])")

# Before NFKC, which would turn a superscript two into a plain one.
_SUPERSCRIPT = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SIGNS = {
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "∗": "*", "÷": "/", "⁄": "/", "∕": "/",
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "≈": r"\approx ", "±": r"\pm ", "∓": r"\mp ",
    "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ", "∈": r"\in ", "ℝ": r"\mathbb{R}", "°": r"^\circ ", "º": r"^\circ ",
    "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "λ": r"\lambda ", "ω": r"\omega ", "φ": r"\phi ",
    "’": "'", "‘": "'", "“": '"', "”": '"', "…": r"...", "∖": r"\setminus ", "⟨": r"\langle ", "⟩": r"\rangle ",
}  # fmt: skip
_ALIASES = (
    (r"\\[dtc]frac(?![a-zA-Z])", r"\\frac"),
    (r"\\(?:left|right|[bB]ig{1,2}[lrm]?|middle)(?![a-zA-Z])\s*\.?", ""),
    (r"\\(?:displaystyle|textstyle|limits|nolimits|allowbreak|hfill|!)(?![a-zA-Z])", ""),
    (r"\\!", ""),
    (r"\\(?:leqslant|leq|leqq)(?![a-zA-Z])", r"\\le"),
    (r"\\(?:geqslant|geq|geqq)(?![a-zA-Z])", r"\\ge"),
    (r"\\neq(?![a-zA-Z])", r"\\ne"),
    (r"\\(?:lt)(?![a-zA-Z])", "<"),
    (r"\\(?:gt)(?![a-zA-Z])", ">"),
    (r"\\(?:varnothing|empty)(?![a-zA-Z])", r"\\emptyset"),
    (r"\\backslash(?![a-zA-Z])", r"\\setminus"),
    (r"\\(?:ast)(?![a-zA-Z])", "*"),
    (r"\\(?:lbrace|\{)", r"\\{"),
    (r"\\(?:rbrace|\})", r"\\}"),
    (r"\\(?:lbrack)(?![a-zA-Z])", "["),
    (r"\\(?:rbrack)(?![a-zA-Z])", "]"),
    (r"\\[lr]?vert(?![a-zA-Z])", "|"),
    (r"\\imath(?![a-zA-Z])", "i"),
    (r"\\(?:ldots|dots|cdots|dotsc)(?![a-zA-Z])", "..."),
    (r"\^\s*\{?\s*\\(?:circ|degree)(?![a-zA-Z])\s*\}?|\\degree(?![a-zA-Z])", r"^\\circ "),
    (r"\\(?:mathbb|mathbf|Bbb)\s*\{?\s*R\s*\}?", r"\\mathbb{R}"),
    # What something is in, or something is taken from, is a set: R alone may be a letter.
    (r"(?<=\\in)\s*R(?!\w)|(?<![\w\\{])R(?=\s*(?:\\setminus(?![a-zA-Z])|-\s*\\\{))", r" \\mathbb{R}"),
    (r"\\bmod(?![a-zA-Z])", r"\\mod"),
    (r"\\[dt]binom(?![a-zA-Z])", r"\\binom"),
    (r"\{?\s*(\w+|\{\w+\})\s*\\choose\s*(\w+|\{\w+\})\s*\}?", r"\\binom{\1}{\2}"),
    (r"(?<![a-zA-Z\\])[Ii]nfinity(?![a-zA-Z])", r"\\infty "),
    (r"<=|=<", r"\\le "),
    (r">=", r"\\ge "),
    (r"!=", r"\\ne "),
)
_ALIASES_RE = tuple((re.compile(pattern), new) for pattern, new in _ALIASES)
_SPACES = re.compile(r"(?<!\\)\\[,;:> ]|\\(?:quad|qquad|enspace|thinspace|space|phantom\{[^{}]*\})(?![a-zA-Z])|(?<!\\)~|\s+")
# `1{,}234`, `1,\!234`, `1\,234` and `1 234` are one number; so is `1,234` unless a bracket makes it a list (see shapes.py).
_THOUSANDS = re.compile(r"(?<=\d)\s*(?:\{\s*,\s*\}\s*(?:\\!)?|,\s*\\!|\\[,; ]\s*)\s*(?=\d{3}(?!\d))")
# Two dots and more are no decimal points: 1.234.567,89. One may be: compare.py.
_THOUSANDS_DOTTED = re.compile(r"(?<![\d.,])([1-9]\d{0,2}(?:\.\d{3}){2,})(?:,(\d+))?(?!\d|[.,]\d)")
_THOUSANDS_SPACED = re.compile(r"(?<![\d.])(\d{1,3})((?: \d{3})+)(?![\d/])")
_TEXT = re.compile(
    r"\\(?:text|mbox|textbf|textit|textrm|textsf|texttt|textnormal|mathrm|mathsf|hbox|operatorname)\*?\s*\{([^{}]*)\}"
)
_FONT = re.compile(r"\\(?:mathbf|mathit|mathcal|boldsymbol|bm|vec|overrightarrow|mathbb)\s*\{([a-zA-Z0-9]+)\}(?<!\\mathbb\{R\})")
_FUNCTION = re.compile(r"^(?:sin|cos|tan|cot|sec|csc|log|ln|exp|max|min|gcd|arcsin|arccos|arctan|sinh|cosh|tanh|mod|lcm)$")
# A box and its brace, any other brace, or a box without braces: \\boxed 5.
_BOX_OR_BRACE = re.compile(r"\\(?:boxed|fbox)(?:\s+(?P<plain>[^\s{\\]\S*)|\s*(?P<box>\{))|\\[\\{}]|(?P<open>\{)|(?P<close>\})")
_WRAPPERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"), ("**", "**"), ("`", "`"), ('"', '"'))


def clean(text: str) -> str:
    """The answer's own spelling."""
    text = re.sub("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda match: "^{" + match[0].translate(_SUPERSCRIPT) + "}", text)
    text = re.sub(r"([¼-¾⅐-⅞])", r" \1", text)  # 1½ is not 11/2
    for sign, latex in _SIGNS.items():
        text = text.replace(sign, latex)
    text = unicodedata.normalize("NFKC", text).replace("⁄", "/")
    text = re.sub(r"√\s*(?:\(([^()]*)\)|(\d+(?:\.\d+)?|[a-zA-Z]))", lambda m: rf"\sqrt{{{m[1] or m[2]}}}", text)
    text = _undollared(_unwrap(text.strip()))
    text = re.sub(r"^(?:(?:so|thus|hence|therefore|the|final|my)[ ,]+)*answer(?: is|:)\s*:?\s*", "", text, flags=re.IGNORECASE)
    text = _THOUSANDS.sub("", text)
    text = _THOUSANDS_DOTTED.sub(lambda match: match[1].replace(".", "") + (f".{match[2]}" if match[2] else ""), text)
    for pattern, new in _ALIASES_RE:
        text = pattern.sub(new, text)
    text = _plain_text(text)
    text = _SPACES.sub(" ", text).strip()
    text = _THOUSANDS_SPACED.sub(lambda match: match[1] + match[2].replace(" ", ""), text)
    text = text.replace("**", "^")
    text = re.sub(r"(?<=\\mathbb\{R\})\s*[-\\]\s*(?=\\?\{)", r" \\setminus ", text)
    # `\$5` and `$5` are money; what is left of single dollars after unwrapping is money as well.
    text = text.replace(r"\$", "$").replace(r"\%", "%")
    text = re.sub(r"^\\approx(?![a-zA-Z])\s*", "", _unwrap(text))
    return _unpunctuated(text)


def squeezed(text: str) -> str:
    """A cleaned text without blanks and marks, but for those that keep two numerals apart: `2 1/2` is not `21/2`."""
    return _BLANK.sub("", text)


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{…}` or `\fbox{…}` holds; None where there is none, or its brace never closes. One pass."""
    opened: list[int | None] = []
    found: tuple[int, str] | None = None
    for match in _BOX_OR_BRACE.finditer(text):
        if match["plain"]:
            found = (match.start(), match["plain"])
        elif match["box"] or match["open"]:
            opened.append(match.end() if match["box"] else None)
        elif match["close"] and opened and (start := opened.pop()) is not None and (found is None or start > found[0]):
            found = (start, text[start : match.start()])
    return found[1] if found else None


def closing(text: str, start: int) -> int | None:
    """Where the brace that opens at `start` closes."""
    depth = 0
    for at in range(start, len(text)):
        if text[at] == "\\":
            continue
        if text[at] in "{}" and (at == 0 or text[at - 1] != "\\"):
            depth += 1 if text[at] == "{" else -1
            if depth == 0:
                return at
    return None


def _unwrap(text: str) -> str:
    while True:
        before = text
        text = text.strip()
        if re.match(r"\\f?box(?:ed)?\s*\{", text) and closing(text, text.index("{")) == len(text) - 1:
            text = text[text.index("{") + 1 : -1]
        if text.startswith("{") and not re.search("[,|:]", text) and closing(text, 0) == len(text) - 1:
            text = text[1:-1]
        text = _unpunctuated(text)
        for left, right in _WRAPPERS:
            inner = text[len(left) : len(text) - len(right)]
            # `$\\$5$` is an amount of money between dollars.
            if (
                text.startswith(left)
                and text.endswith(right)
                and len(text) > len(left) + len(right)
                and left not in inner.replace(r"\$", "")
            ):
                # A backslash before the last sign makes it an amount of money or a bracket of its own.
                if right == "$" and text.endswith(r"\$"):
                    continue
                text = inner
        if text == before:
            return text


def _undollared(text: str) -> str:
    """`$\\frac12$ cup` without its dollars; `$5 or $6` with them."""
    return re.sub(r"(?<![\\$])\$([^$]*[^$\s\\])\$(?![\d$])", lambda m: m[0] if re.search(r" (?:or|and) ", m[1]) else m[1], text)


def _plain_text(text: str) -> str:
    def marked(match: re.Match[str]) -> str:
        words = match[1]
        # \\text{ min} and \\text{sec} are units.
        if _FUNCTION.match(words.strip()) and (words.strip() not in ("min", "sec") or "operatorname" in match[0]):
            return rf"\{words.strip()} "
        if re.fullmatch(r"\s*[\d.,/+\-^=()\[\]]*\s*", words):
            return words
        return f"{TEXT_OPEN}{words}{TEXT_CLOSE}"

    text = _FONT.sub(r"\1", text)
    return re.sub(rf"{TEXT_CLOSE}\s*{TEXT_OPEN}", " ", _TEXT.sub(marked, text))


def _unpunctuated(text: str) -> str:
    text = text.strip()
    while text and text[-1] in ".,;:!" and not text.endswith("..."):
        # A factorial is no exclamation.
        if text[-1] == "!" and re.search(r"[\w)}]!+$", text) and not re.search(r"[a-zA-Z]{3,}!$", text):
            return text
        if text.endswith((r"\,", r"\;", r"\:", r"\!")):
            text = text[:-1]
        text = text[:-1].rstrip()
    return text
