"""The graph of a comparison as SVG: an arrow from the better to the worse with its gap, a dashed line where they are similar."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from io import StringIO

from compare.standings import Edge


def svg(names: Sequence[str], edges: Sequence[Edge]) -> str:
    """Draw the candidates on a circle, `names` (the strongest first) clockwise from the top. The same input, the same text."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "evalplanner", "svg.fonttype": "none", "font.family": "sans-serif"}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 7))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.axis("off")
        axes.set(xlim=(-1.3, 1.3), ylim=(-1.15, 1.15))
        at = {
            name: (math.sin(2 * math.pi * k / len(names)), math.cos(2 * math.pi * k / len(names))) for k, name in enumerate(names)
        }
        box = {"boxstyle": "round,pad=0.4", "facecolor": "#e8eefc", "edgecolor": "0.3"}
        # Names are a user's text: no formulas in them.
        boxes = {
            name: axes.text(x, y, name, ha="center", va="center", fontsize=10, bbox=box, parse_math=False)
            for name, (x, y) in at.items()
        }
        for edge in edges:
            look = {"linestyle": "--", "color": "0.6", "arrowstyle": "-"} if edge.similar else {"color": "0.2", "arrowstyle": "-|>"}
            ends = {"patchA": boxes[edge.better].get_bbox_patch(), "patchB": boxes[edge.worse].get_bbox_patch()}
            arrow = {**look, **ends, "shrinkA": 2, "shrinkB": 2, "mutation_scale": 14}
            axes.annotate("", at[edge.worse], at[edge.better], arrowprops=arrow, zorder=1)
            # Off the middle, so that the labels of crossing edges do not meet there.
            x, y = (0.58 * a + 0.42 * b for a, b in zip(at[edge.better], at[edge.worse], strict=True))
            axes.text(
                x, y, str(edge.gap), ha="center", va="center", fontsize=9, color="0.4" if edge.similar else "0.1", zorder=5,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            )  # fmt: skip
        out = StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"<metadata>.*?</metadata>", "", out.getvalue(), flags=re.DOTALL)
