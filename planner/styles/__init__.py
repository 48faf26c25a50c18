"""Every style by name. A new family is a file here, a member of `AnyStyle`, and a line in `STYLES`."""

from __future__ import annotations

from planner.models import ModelError
from planner.styles.base import Style
from planner.styles.evalplanner import EvalPlannerStyle
from planner.styles.mtbench import MtBenchStyle
from planner.styles.pandalm import PandaLmStyle

AnyStyle = EvalPlannerStyle | MtBenchStyle | PandaLmStyle
"""What a checkpoint's card may say. Each has a `family` of its own, so that one is read back as what was written."""

STYLES: dict[str, AnyStyle] = {
    "evalplanner": EvalPlannerStyle(prompt_set="paper"),
    "evalplanner-short": EvalPlannerStyle(prompt_set="short"),
    "mtbench": MtBenchStyle(),
    "pandalm": PandaLmStyle(),
}


def named(name: str) -> Style:
    """The style of that name.

    Raises:
        ModelError: there is none.
    """
    if name not in STYLES:
        raise ModelError(f"no style {name!r}; there are {', '.join(STYLES)}")
    return STYLES[name]
