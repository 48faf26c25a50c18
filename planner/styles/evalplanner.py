"""How an EvalPlanner judge is asked, and how its answer is read.

Three prompts (`prompts/<set>/`): `plan` sees the instruction alone; `execution` sees the pair and a plan; `judge` is the one
prompt of SFT, DPO and test, and never asks for a plan: planning is learnt into the weights. The answer to it is a chain:

    [Start of Evaluation Plan]
    …
    [End of Evaluation Plan]
    [Start of Plan Execution]
    …
    [End of Plan Execution]
    [Final Verdict]
    [[A]]

Paper, Figure 1 and section 2; the training target is assembled here from its parts, and read back by `read_chain`.
"""

from __future__ import annotations

import re
from typing import Literal

from planner.records import LETTERS, Completion, Label, Pair, Record, Verdict
from planner.styles.base import ChainParts, Prompt, asked, pair_fields
from planner.verdict import read_verdict
from prompts import EXECUTION_END, EXECUTION_START, FINAL_VERDICT, ONE_LINE, PLAN_END, PLAN_START, PromptName, PromptSet

PlanKind = Literal["unconstrained", "criteria", "questions", "none"]
_PLAN_PROMPT: dict[PlanKind, PromptName] = {"unconstrained": "plan", "criteria": "plan-criteria", "questions": "plan-questions"}
ExecutionForm = Literal["free", "findings"]
_FINDING = re.compile(r"Answer A (?P<A>passes|fails|ties)\. Answer B (?P<B>passes|fails|ties)\.")
_LETTER = re.compile(r"\[\[([A-Z])\]\]$")
_CLOSED = re.compile(rf"{re.escape(EXECUTION_END)}|{re.escape(FINAL_VERDICT)}")


class EvalPlannerStyle(Record):
    """Asks with one prompt set and one kind of plan; `plan_kind = "none"` is the plan-less control arm."""

    family: Literal["evalplanner"] = "evalplanner"
    prompt_set: PromptSet = "paper"
    plan_kind: PlanKind = "unconstrained"
    execution_form: ExecutionForm = "free"
    """How the seed executes a plan. `findings`, for seeds too small to reason in words: only its verdict is drawn, and the
    execution says what that verdict finds of each answer. A trained judge always writes freely."""
    ties: bool = False
    """Whether the judge may call it a tie, `[[C]]`: asked so by prompts of their own, `<name>-tie.txt`."""

    @property
    def plans(self) -> bool:
        """Whether this judge plans at all."""
        return self.plan_kind != "none"

    @property
    def labels(self) -> tuple[Label, ...]:
        """The verdicts that it is trained to give."""
        return ("A", "B", "tie") if self.ties else ("A", "B")

    # -- asking ------------------------------------------------------------------------------------------------------

    def plan_prompt(self, instruction: str) -> Prompt:
        """Ask for a plan from the instruction alone (paper, Figure 3)."""
        stop = ("\n", PLAN_END) if self.prompt_set in ONE_LINE else (PLAN_END,)
        return asked(self.prompt_set, _PLAN_PROMPT[self.plan_kind], {"instruction": instruction}, stop)

    def execution_prompt(self, pair: Pair, plan: str | None) -> Prompt:
        """Ask to execute a plan on a pair (paper, Figure 4). The pair comes first, so all plans of a pair share its prefix."""
        stop = ("\n", EXECUTION_END) if self.prompt_set in ONE_LINE else (EXECUTION_END,)
        if plan is None:
            return asked(self.prompt_set, self._worded("execution-none"), pair_fields(pair), stop)
        return asked(self.prompt_set, self._worded("execution"), pair_fields(pair) | {"plan": plan}, stop)

    def judge_prompt(self, pair: Pair) -> Prompt:
        """The prompt of SFT, DPO and test (paper, Figure 5)."""
        # How a chain ends, in the form that `chain_text` trains.
        ends = tuple(f"{FINAL_VERDICT}\n[[{LETTERS[label]}]]" for label in self.labels)
        return asked(self.prompt_set, self._worded("judge"), pair_fields(pair))._replace(ends=ends)

    def _worded(self, name: PromptName) -> str:
        """The prompt that allows a tie, where this judge may call one."""
        return f"{name}-tie" if self.ties else name

    def judge_plan_prompt(self, pair: Pair) -> Prompt:
        """Ask a trained judge for the plan of its chain only."""
        return self.judge_prompt(pair)._replace(stop=(PLAN_END,), ends=())

    def judge_execution_prompt(self, pair: Pair, plan: str | None) -> Prompt:
        """Have a trained judge go on from a plan: the judge prompt, and the chain up to where the execution starts."""
        return self.judge_prompt(pair)._replace(prefill=self._opening(plan))

    # -- writing -----------------------------------------------------------------------------------------------------

    def _opening(self, plan: str | None) -> str:
        planned = f"{PLAN_START}\n{plan}\n{PLAN_END}\n" if plan is not None else ""
        return f"{planned}{EXECUTION_START}\n"

    def finding(self, verdict: Verdict) -> str:
        """The execution of form `findings` that says no more and no less than a verdict A, B or tie."""
        if verdict == "tie":
            return "Answer A ties. Answer B ties."
        better, worse = ("A", "B") if verdict == "A" else ("B", "A")
        said = {better: "passes", worse: "fails"}
        return f"Answer A {said['A']}. Answer B {said['B']}."

    def chain_text(self, plan: str | None, execution: str, verdict: Label) -> str:
        """The training target: a chain in the structured form (recipe §1.5)."""
        return self.forcing_text(plan, execution) + f"{LETTERS[verdict]}]]"

    def forcing_text(self, plan: str | None, execution: str) -> str:
        """A chain up to the letter of its verdict: what a forced verdict is read after."""
        body = f"{execution}\n" if execution else ""
        return f"{self._opening(plan)}{body}{EXECUTION_END}\n{FINAL_VERDICT}\n[["

    def deciding_spans(self, text: str) -> list[tuple[int, int]]:
        """Where a chain decides, as (start, end) characters: the words of its finding, where it has one, and its verdict's letter."""
        body = max(text.rfind(EXECUTION_START), 0)  # what a plan says decides nothing
        found = _FINDING.search(text, body)
        letter = _LETTER.search(text, body)
        return ([found.span("A"), found.span("B")] if found else []) + ([letter.span(1)] if letter else [])

    def write_chain(self, parts: ChainParts) -> str:
        if parts.verdict == "none":
            raise ValueError("a chain without a verdict is no answer to train on")
        return self.chain_text(parts.plan, parts.execution, parts.verdict)

    def verdict_texts(self) -> tuple[str, dict[str, Verdict]]:
        """The plan and its execution left out: the verdict of a judge that does not think."""
        return self.forcing_text(None, ""), {LETTERS[label]: label for label in self.labels}

    # -- reading -----------------------------------------------------------------------------------------------------

    def read_plan(self, prefill: str, completion: Completion) -> str | None:
        """The plan in a completion, tags removed; None where it was cut off, or is empty (both never train).

        The engine stops at the end tag and leaves it out of the text. A model that ended its turn without the tag wrote no whole
        plan, except in the sets whose plans are one line.
        """
        if completion.finish_reason != "stop" or (completion.stop is None and self.prompt_set not in ONE_LINE):
            return None
        text = prefill + completion.text
        if PLAN_START not in text:
            return None
        body = text.rpartition(PLAN_START)[2]
        # A chain that went on past its plan without closing it did not write one.
        return body.strip() or None if EXECUTION_START not in body and FINAL_VERDICT not in body else None

    def read_execution(self, prefill: str, completion: Completion) -> ChainParts:
        """Read a completion of the execution prompt: its last tag is the verdict, if it came to an end."""
        text = (prefill + completion.text).removeprefix(EXECUTION_START).lstrip("\n")
        if completion.finish_reason != "stop":
            return ChainParts(None, text.strip(), "none", closed=False, disagrees=False)
        return ChainParts(None, text.strip(), read_verdict(text), closed=True, disagrees=False)

    def read_chain(self, text: str, finish_reason: str = "stop") -> ChainParts:
        """Read a whole chain (prefill and completion joined): the verdict is the last one after `[Final Verdict]`."""
        # A plan may speak of the final verdict; only what stands after the execution's start is one.
        start = max(text.find(EXECUTION_START), 0)
        before, final_tag, after = text[start:].partition(FINAL_VERDICT)
        verdict = read_verdict(after)
        plan, execution = self._read_body(text[:start] + before)
        named = read_verdict(execution)
        disagrees = bool(final_tag) and "none" not in (named, verdict) and named != verdict
        return ChainParts(
            plan=plan,
            execution=execution,
            # A chain that says both says neither.
            verdict="none" if disagrees else verdict,
            closed=verdict != "none" or finish_reason == "stop",
            disagrees=disagrees,
        )

    def _read_body(self, text: str) -> tuple[str | None, str]:
        head, opened, body = text.partition(EXECUTION_START)
        plan = None
        if PLAN_START in head and PLAN_END in head:
            plan = head.partition(PLAN_START)[2].rpartition(PLAN_END)[0].strip() or None
        execution = _CLOSED.split(body if opened else head.rpartition(PLAN_END)[2])[0]
        return plan, execution.strip()
