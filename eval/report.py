"""The one report page: tables, figures, texts and a browser of single judgments in one HTML file that needs no network.

    html = render(Page(title=…, sections=(Table(…), Figure(…)), judgments=(…)))

Whatever comes from a model or a data set is text: jinja2 escapes it in the page, the browser part reads it from a JSON block in
which no `<` stands, and puts it in with `textContent`. The page's own policy forbids every script but its one, every connection,
and every form.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from markupsafe import Markup

from planner.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Table(Record):
    """Cells are shown as they are."""

    kind: Literal["table"] = "table"
    title: str
    note: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Figure(Record):
    kind: Literal["figure"] = "figure"
    title: str
    note: str = ""
    svg: str
    """Base64 of an SVG; `draw` makes it."""


class Text(Record):
    """A text shown letter by letter, such as a configuration."""

    kind: Literal["text"] = "text"
    title: str
    note: str = ""
    text: str


Section = Table | Figure | Text


class OrderShown(Record):
    """What a judge wrote of a pair in one order."""

    title: str
    plan: str
    execution: str
    verdict: str
    text: str
    """The completion, whole."""


class JudgmentShown(Record):
    """An entry of the browser."""

    flags: tuple[str, ...]
    """What it can be found by: `right`, `wrong`, `flipped`, `no verdict`, …"""
    kind: str
    gold: str
    """`A`, `B` or `tie`."""
    instruction: str
    response_a: str
    response_b: str
    orders: tuple[OrderShown, ...]


class Page(Record):
    title: str
    lead: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    browser_note: str = ""
    judgments: tuple[JudgmentShown, ...] = ()
    footer: str = ""


def render(page: Page) -> str:
    """The page as one HTML document."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    folder = files("eval") / "page"
    environment = Environment(
        loader=FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    script = (folder / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    shown = [one.model_dump(mode="json") for one in page.judgments]
    # Half a character, which a model can write, has no place in UTF-8.
    html = environment.get_template("page.html.jinja").render(
        page=page,
        data=Markup(as_script_data(shown)),
        style=Markup((folder / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )
    return html.encode("utf-8", "replace").decode()


def as_script_data(value: object) -> str:
    """JSON that cannot end the script element that it stands in, nor open another."""
    text = json.dumps(value)  # ASCII: no U+2028, no half characters
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def markdown(table: Table) -> str:
    """The same table in Markdown; bars and line ends in cells are kept from breaking it, and nothing in them is markup."""

    def line(cells: tuple[str, ...]) -> str:
        return "| " + " | ".join(map(markdown_text, cells)) + " |"

    return "\n".join([line(table.columns), line(("---",) * len(table.columns)), *map(line, table.rows)]) + "\n"


def markdown_text(text: str) -> str:
    """A text on one line of Markdown, in which no tag, link or picture begins and no cell ends."""
    for mark in ("\\", "|", "<", "]("):
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def draw(title: str, note: str, plot: Callable[[Axes], None]) -> Figure:
    """A figure that `plot` draws on one pair of axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    plot(axes)
    axes.grid(alpha=0.3)
    found = io.BytesIO()
    # Without a date, the same numbers make the same file.
    with plt.rc_context({"svg.hashsalt": "report"}):
        figure.savefig(found, format="svg", metadata={"Date": None})
    plt.close(figure)
    return Figure(title=title, note=note, svg=base64.b64encode(found.getvalue()).decode())
