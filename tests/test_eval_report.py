"""The page's parts: what is in it, and what hostile text can do to it. tests/web opens it in a real Chromium."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from eval.report import Figure, JudgmentShown, OrderShown, Page, Table, as_script_data, draw, markdown, render

HOSTILE = "</script><img src=x onerror=alert(1)> & {{ 7 * 7 }} \u2028 \ud83d"


def page(text: str) -> Page:
    order = OrderShown(title=text, plan=text, execution=text, verdict=text, text=text)
    judgment = JudgmentShown(
        flags=("wrong",), kind=text, gold="A", instruction=text, response_a=text, response_b=text, orders=(order,)
    )
    table = Table(title=text, note=text, columns=(text,), rows=((text,),))
    return Page(
        title=text, lead=(text,), warnings=(text,), sections=(table, Figure(title=text, svg="")), browser_note=text,
        judgments=(judgment,), footer=text,
    )  # fmt: skip


def test_hostile_text_is_escaped_everywhere() -> None:
    html = render(page(HOSTILE))
    assert html.count("<script") == html.count("</script>") == 2, "the data and the page's own"
    assert "<img src=x" not in html
    assert "{{ 7 * 7 }}" in html, "a template in a response is text too"
    html.encode("utf-8")
    (data,) = re.findall(r'id="data">(.*?)</script>', html, re.DOTALL)
    assert "<" not in data
    assert json.loads(data)[0]["orders"][0]["plan"] == HOSTILE


def test_nothing_is_fetched_and_only_the_page_s_script_runs() -> None:
    html = render(page("plain"))
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-eval" not in policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", html)


def test_without_judgments_there_is_no_browser_and_no_script() -> None:
    assert "<script" not in render(Page(title="t"))


@pytest.mark.parametrize("value", [["</script>"], {"<!--": "&amp;"}, "\u2028\u2029", None, [1.5, True]])
def test_script_data_is_json_without_markup(value: Any) -> None:
    text = as_script_data(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == value


def test_markdown_cells_cannot_break_the_table() -> None:
    table = Table(title="t", columns=("a", "b"), rows=(("x | y", "one\ntwo"),))
    assert markdown(table).splitlines() == ["| a | b |", "| --- | --- |", "| x \\| y | one two |"]


def test_markdown_cells_are_no_markup() -> None:
    hostile = "<img src=x onerror=alert(1)> ![p](http://x/) [l](javascript:1) \\](y) a\\| <http://x>"
    line = markdown(Table(title="t", columns=("a",), rows=((hostile,),))).splitlines()[2]
    bare = re.sub(r"\\[\\|<\]]", "", line)
    assert not re.search(r"[<\\]|\]\(", bare), "every mark that begins a tag or makes a link stands behind a backslash"
    assert bare.count("|") == 2


def test_a_figure_is_an_svg_and_the_same_numbers_make_the_same_file() -> None:
    def plot(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], label="line")

    one, other = draw("t", "n", plot), draw("t", "n", plot)
    assert b"<svg" in base64.b64decode(one.svg)
    assert one == other
