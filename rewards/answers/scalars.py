r"""Is one expression the same as another: exactly, by math-verify, and where that says no, by numbers that prove it.

math-verify answers "yes" or "not that I can see". A wrong answer and an answer that nobody could read are different things
here, so a no counts only when both sides were read and differ in value somewhere that both are defined.

Runs in the worker (worker.py): sympy may hang or eat memory on hostile input.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, latex2sympy
from math_verify import verify
from sympy.core.function import AppliedUndef

from rewards.answers.numerals import decimals, number, rounds

DIGITS = 30
"""Significant digits of a numeric comparison; differences below 10^-15 of the values prove nothing."""
_MAX_EXPONENT = 10_000
_MAX_FACTORIAL = 500
_MAX_DEPTH = 8
# Points at which expressions with symbols are compared; the negative ones count only where both sides are real.
_POSITIVE = (Fraction(3, 7), Fraction(17, 11), Fraction(29, 13), Fraction(101, 19), Fraction(5, 23))
_NEGATIVE = (Fraction(-8, 5), Fraction(-31, 9), Fraction(-2, 17))

_COMMANDS = (
    "frac sqrt pi infty sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln exp lg cdot times div binom choose theta alpha "
    "beta gamma delta lambda omega phi mu sigma tau rho epsilon eta zeta kappa lfloor rfloor lceil rceil gcd lcm max min sum prod int mod "
    "overline begin end pmatrix bmatrix vmatrix det circ lim to Gamma Delta Omega Phi Sigma Theta Lambda varphi psi Psi xi nu chi ell hat bar"
).split()
_WORD = re.compile(r"\\?[a-zA-Z]+")
_FUNCTIONS = re.compile(
    r"(?<![\\a-zA-Z])(arcsin|arccos|arctan|asin|acos|atan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp|sqrt|pi|infinity|theta|alpha|"
    r"beta|inf|gcd|lcm|max|min)(?![a-zA-Z])"
)
_LONG = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "infinity": "infty", "inf": "infty"}
_DECIMAL = re.compile(r"(?<![\d.])(\d*)\.(\d+)(?![\d.])")


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
            if any(isinstance(inner, sympy.Pow) and inner.exp.is_number and not inner.exp.is_Rational for inner in node.exp.atoms(sympy.Pow)):
                raise Unreadable("a tower of powers")
            size = abs(sympy.N(node.exp, 5))
            if size.is_comparable and size > _MAX_EXPONENT:
                raise Unreadable("a huge power")
        if isinstance(node, sympy.factorial | sympy.binomial) and any(
            arg.is_number and not arg.is_Integer or arg.is_Integer and abs(arg) > _MAX_FACTORIAL for arg in node.args
        ):
            raise Unreadable("a huge factorial")
        if isinstance(node, sympy.Integer) and abs(node).p.bit_length() > 40_000:
            raise Unreadable("a huge number")


def same(a: str, b: str) -> bool | None:
    """Whether two cleaned leaves have one value; None where that could not be found out."""
    left, right = parse(a), parse(b)
    verdict = equal(left, right)
    for decimal, value in ((a, right), (b, left)):
        if verdict is False and rounds(decimal) and not value.free_symbols:
            verdict = bool(abs(sympy.N(value - parse(decimal), DIGITS)) <= sympy.Rational(1, 2 * 10 ** decimals(decimal)))
    return verdict


def equal(a: Any, b: Any) -> bool | None:
    """Whether two sympy expressions have one value."""
    if a == b:
        return None if a in (sympy.nan, sympy.zoo) else True
    if {a, b} & {sympy.oo, -sympy.oo}:
        return False if a.is_number and b.is_number else None
    if isinstance(a, sympy.Rational) and isinstance(b, sympy.Rational):
        return False
    if isinstance(a, sympy.MatrixBase) or isinstance(b, sympy.MatrixBase) or isinstance(a + 0, sympy.MatrixExpr):
        return _equal_matrices(a, b)
    sampled = _by_numbers(a, b)
    if sampled is False:
        return False
    if verify(a, b, timeout_seconds=None, float_rounding=12):
        return True
    return sampled


def _equal_matrices(a: Any, b: Any) -> bool | None:
    a, b = (x.doit() if hasattr(x, "doit") else x for x in (a, b))
    if not isinstance(a, sympy.MatrixBase) or not isinstance(b, sympy.MatrixBase):
        return None
    if a.shape != b.shape:
        return False
    return every(equal(x, y) for x, y in zip(a, b, strict=True))


def every(found: Any) -> bool | None:
    """All of several decisions: False if one is, None if one is open."""
    result: bool | None = True
    for one in found:
        if one is False:
            return False
        result = None if one is None else result
    return result


def _by_numbers(a: Any, b: Any) -> bool | None:
    """False: the values differ. True: they agree at every point where both are defined (at least three). None: too few points."""
    a, b = (_without_unknown_functions(x) for x in (a, b))
    symbols = sorted(a.free_symbols | b.free_symbols, key=str)
    if not symbols:
        return _near(_value(a), _value(b))
    agreed = 0
    for shift, start in enumerate((*_POSITIVE, *_NEGATIVE)):
        points = (*_POSITIVE, *_POSITIVE) if start > 0 else (*_NEGATIVE, *_NEGATIVE)
        at = {symbol: sympy.Rational(start.numerator, start.denominator) for symbol in symbols[:1]}
        for index, symbol in enumerate(symbols[1:], 1):
            point = points[(shift + index) % len(points)] + index
            at[symbol] = sympy.Rational(point.numerator, point.denominator)
        left, right = _value(a.subs(at)), _value(b.subs(at))
        if left is None or right is None:
            continue
        near = _near(left, right)
        real = abs(sympy.im(left)) < 1e-20 and abs(sympy.im(right)) < 1e-20
        if near is False and (start > 0 or real):
            return False
        agreed += bool(near)
    return True if agreed >= 3 else None


def _without_unknown_functions(expression: Any) -> Any:
    known = {f: sympy.Symbol(f"{f.func.__name__}[{sympy.expand(f.args[0])}]") for f in expression.atoms(AppliedUndef)}
    return expression.subs(known)


def _value(expression: Any) -> Any:
    """A complex number of `DIGITS` digits; None where the expression is undefined or does not come to a number."""
    found = sympy.N(expression.doit(), DIGITS)
    finite = found.is_number and found.is_finite
    return found if finite and found.as_real_imag()[0].is_Number and found.as_real_imag()[1].is_Number else None


def _near(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    # The floor is for what should be nothing and comes to a rounding error.
    scale = max(abs(left), abs(right), sympy.Float(10) ** -10)
    off = abs(left - right) / scale
    if off < sympy.Float(10) ** -20:
        return True
    return False if off > sympy.Float(10) ** -15 else None
