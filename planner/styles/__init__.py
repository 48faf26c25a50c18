"""Every style by name. A new family is a file here, a member of `AnyStyle`, and a line in `STYLES`.

`SCORING` holds those that grade one response by itself.
"""

from __future__ import annotations

from planner.models import ModelError
from planner.styles.base import ScoringStyle
from planner.styles.evalplanner import EvalPlannerStyle
from planner.styles.j1 import J1ScoreStyle, J1Style
from planner.styles.judgelm import JudgeLmStyle
from planner.styles.mtbench import MtBenchStyle, PlainStyle, SelfTaughtStyle
from planner.styles.pandalm import PandaLmStyle

AnyStyle = EvalPlannerStyle | MtBenchStyle | SelfTaughtStyle | PlainStyle | PandaLmStyle | JudgeLmStyle | J1Style
"""What a checkpoint's card may say. Each has a `family` of its own, so that one is read back as what was written."""

STYLES: dict[str, AnyStyle] = {
    "evalplanner": EvalPlannerStyle(prompt_set="paper"),
    "evalplanner-short": EvalPlannerStyle(prompt_set="short"),
    "evalplanner-tie": EvalPlannerStyle(prompt_set="paper", ties=True),
    "evalplanner-short-tie": EvalPlannerStyle(prompt_set="short", ties=True),
    "mtbench": MtBenchStyle(),
    "self-taught": SelfTaughtStyle(),
    "plain": PlainStyle(),
    "plain-tie": PlainStyle(ties=True),
    "pandalm": PandaLmStyle(),
    "judgelm": JudgeLmStyle(),
    "judgelm-fast": JudgeLmStyle(fast=True),
    "judgelm-picture": JudgeLmStyle(picture=True),
    "j1": J1Style(form="think"),
    "j1-plan": J1Style(form="plan"),
}
SCORING: dict[str, ScoringStyle] = {
    "judgelm": JudgeLmStyle(),
    "judgelm-fast": JudgeLmStyle(fast=True),
    "judgelm-picture": JudgeLmStyle(picture=True),
    "j1-score": J1ScoreStyle(),
}


def scoring(name: str) -> ScoringStyle:
    """The style of that name that grades.

    Raises:
        ModelError: there is none.
    """
    if name not in SCORING:
        raise ModelError(f"no style {name!r} grades; there are {', '.join(SCORING)}")
    return SCORING[name]


def named(name: str) -> AnyStyle:
    """The style of that name.

    Raises:
        ModelError: there is none.
    """
    if name not in STYLES:
        raise ModelError(f"no style {name!r}; there are {', '.join(STYLES)}")
    return STYLES[name]
