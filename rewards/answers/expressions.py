r"""From a cleaned answer to sympy: the text in the one dialect that math-verify's parser reads in full, or a refusal.

The parser leaves out what it cannot read ("2 3" is 5 to it, `x**2` an error) and evaluates some things at once, so what reaches it is
checked first; what comes out is checked again for powers and factorials that nobody should evaluate. Runs in the worker.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy

from rewards.answers.numerals import number

_MAX_EXPONENT = 10_000
_MAX_FACTORIAL = 500
_MAX_DEPTH = 8
_COMMANDS = frozenset(
    re.findall(
        "[a-zA-Z]+",
        "frac sqrt pi infty sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp lg cdot times div binom theta alpha beta "
        "gamma delta lambda omega phi mu sigma tau rho epsilon eta zeta kappa lfloor rfloor lceil rceil gcd lcm max min sum prod int mod "
        "overline begin end pmatrix bmatrix vmatrix det circ lim to Gamma Delta Omega Phi Sigma Theta Lambda varphi psi Psi xi nu chi ell "
        "hat bar",
    )
)
_WORD = re.compile(r"\\?[a-zA-Z]+")
_FUNCTIONS = re.compile(
    r"(?<![\\a-zA-Z])(arcsin|arccos|arctan|asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|infinity|theta|alpha|"
    r"beta|inf|gcd|lcm|max|min)(?![a-zA-Z])"
)
_LONG = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "infinity": "infty", "inf": "infty"}
_DECIMAL = re.compile(r"(?<![\d.])(\d*)\.(\d+)(?![\d.])")


# What the parser would read as something else, or would evaluate at once.
_REFUSED = (
    (re.compile(r"\^\s*(?:\{[^{}]*\}|\w)\s*\^"), "a power of a power without braces"),
    (re.compile(r"(?<!\\)\d\s*[eE]\s*[-+]?\d"), "an exponent that no answer has"),
    (re.compile(r"(?<!\\sqrt)\["), "a bracket that groups nothing"),
    (re.compile(r"\\binom\{[^{}]*\d{5}"), "a huge binomial"),
)


class Unreadable(ValueError):
    """No expression that we would let sympy see; the message says why."""


class _Reading:
    """The parser raises the bare `Exception` on bad grammar: that one, and none of its kinds, becomes `Unreadable`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is Exception:
            raise Unreadable(str(error)) from error


@lru_cache(maxsize=256)
def parse(text: str) -> Any:
    """The sympy expression of a cleaned leaf.

    Raises:
        Unreadable: not the expression of any answer, or one too large to touch.
    """
    exact = number(text)
    if exact is not None:
        return sympy.Rational(exact.numerator, exact.denominator)
    latex = to_latex(text)
    # Symbols are left free of assumptions; sampling decides what holds where.
    config = ConversionConfig(lowercase_symbols=False, interpret_as_mixed_fractions=False)
    with _Reading():
        found = latex2sympy(latex, is_real=None, convert_degrees=False, normalization_config=None, conversion_config=config)
    if not isinstance(found, sympy.Basic | sympy.MatrixBase):
        raise Unreadable(f"no expression: {type(found).__name__}")
    found = found.subs({symbol: sympy.I for symbol in found.free_symbols if symbol.name == "i"})
    _refuse_huge(found)
    return found


def to_latex(text: str) -> str:
    """A leaf in the one dialect that math-verify's parser reads in full; anything it would read in part is refused."""
    text = text.replace("⟨", " ").replace("⟩", " ").strip()
    if not text:
        raise Unreadable("empty")
    if re.search(r"[^\w\s\\{}()\[\]+\-*/^|.,!'&=]", text) or "__" in text:
        raise Unreadable("signs that no expression has")
    # 2/3\\pi is two thirds of it.
    text = re.sub(r"(?<![\d^!._a-zA-Z}])(\d+)\s*/\s*(\d+)(?![\d!^.])", r"\\frac{\1}{\2}", text)
    text = _FUNCTIONS.sub(lambda match: "\\" + _LONG.get(match[1], match[1]) + " ", text)
    text = _braced(_groups(text, r"\\(?:sqrt|exp)(?:\[\d+\])?\s*(?=\()"))
    if re.search(r"\d\s+\d|\}\s*\d*\s*\{(?<!\\)(?<!\}\{)", _without_frac_space(text)):
        raise Unreadable("numbers side by side")
    for word in _WORD.findall(text):
        if word.startswith("\\") and word[1:] not in _COMMANDS:
            raise Unreadable(f"unknown command {word}")
        if not word.startswith("\\") and len(word) > 3 and "matrix" not in word:
            raise Unreadable(f"the word {word}")
    depth = deepest = 0
    for sign in text:
        depth += (sign in "({[") - (sign in ")}]")
        deepest = max(deepest, depth)
    if deepest > _MAX_DEPTH or depth:
        raise Unreadable("brackets nested too deep" if depth == 0 else "brackets that do not close")
    for pattern, why in _REFUSED:
        if pattern.search(text):
            raise Unreadable(why)
    text = _degrees(text)
    return _DECIMAL.sub(lambda match: rf"\frac{{{int(match[1] + match[2])}}}{{{10 ** len(match[2])}}}", text)


def _without_frac_space(text: str) -> str:
    return re.sub(r"\\(?:frac|binom)\s*\{[^{}]*\}\s*\{", "{", text)


def _degrees(text: str) -> str:
    return re.sub(r"(\d+(?:\.\d+)?|\w)\s*\^\s*\{?\s*\\circ\s*\}?", r"\\frac{\1\\pi}{180}", text)


def _braced(text: str) -> str:
    r"""`\frac12`, `\frac{1}2`, `\frac 3 8`, `\sqrt2`, `2^10`, `x^-1`: every argument in braces."""
    one = r"(?:\{(?:[^{}]|\{[^{}]*\})*\}|\d|[a-zA-Z]|\\[a-zA-Z]+)"
    text = re.sub(rf"\\(frac|binom)\s*({one})\s*({one})", lambda m: rf"\{m[1]}{_arg(m[2])}{_arg(m[3])}", text)
    text = re.sub(r"\\sqrt\s*(\[[^\]]*\])?\s*([\da-zA-Z])", lambda m: rf"\sqrt{m[1] or ''}{{{m[2]}}}", text)
    text = re.sub(r"\^\s*(-?\d+|-?[a-zA-Z])", r"^{\1}", text)
    text = re.sub(r"_\s*([\da-zA-Z])", r"_{\1}", text)
    text = re.sub(r"\^\s*\(", "^(", text)
    return _groups(text, r"\^(?=\()")


def _arg(text: str) -> str:
    return text if text.startswith("{") else f"{{{text}}}"


def _groups(text: str, before: str) -> str:
    """Round brackets after `before` become braces."""
    for match in reversed(list(re.finditer(before, text))):
        start, depth = match.end(), 0
        for at in range(start, len(text)):
            depth += (text[at] == "(") - (text[at] == ")")
            if depth == 0:
                text = text[:start] + "{" + text[start + 1 : at] + "}" + text[at + 1 :]
                break
    return text


def _refuse_huge(expression: Any) -> None:
    for node in sympy.preorder_traversal(expression):
        if isinstance(node, sympy.Pow) and node.exp.is_number:
            if any(
                isinstance(inner, sympy.Pow) and inner.exp.is_number and not inner.exp.is_Rational
                for inner in node.exp.atoms(sympy.Pow)
            ):
                raise Unreadable("a tower of powers")
            size = abs(sympy.N(node.exp, 5))
            if size.is_comparable and size > _MAX_EXPONENT:
                raise Unreadable("a huge power")
        if isinstance(node, sympy.factorial | sympy.binomial) and any(
            (arg.is_number and not arg.is_Integer) or (arg.is_Integer and abs(arg) > _MAX_FACTORIAL) for arg in node.args
        ):
            raise Unreadable("a huge factorial")
        if isinstance(node, sympy.Sum | sympy.Product) and any(abs(bound) > _MAX_EXPONENT for bound in node.atoms(sympy.Integer)):
            raise Unreadable("a long sum")
        if isinstance(node, sympy.Integer) and abs(node).p.bit_length() > 40_000:
            raise Unreadable("a huge number")
