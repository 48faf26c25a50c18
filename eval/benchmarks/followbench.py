"""A reconstruction of FollowBenchEval, whose 205 pairs were never released (arXiv 2501.18099, section 3).

    python -m eval.benchmarks.followbench DATA OUT.jsonl [--model embedded] [--responses 8]

A pair is two responses of one model to a FollowBench prompt (arXiv 2310.20410): one meets all of its constraints, the other does not,
at levels 1 to 5. The command above makes them: it draws responses to the prompts whose constraints a rule can check, and keeps one of
each kind where there are both. What needs a human or a strong judge to check (style, most content and format constraints) is left out,
and so is a response that a rule cannot read, such as a right sum without its dollar sign. Scores are of this reconstruction alone and
compare with no published number.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from eval.benchmarks.base import Benchmark, Percentages, Row, files, percent, placed, read
from eval.judged import Judged
from planner.engines.base import Engine, EngineError, Request, Sampling
from planner.errors import Arguments, UserError
from planner.models import ModelError
from planner.records import LabeledPair, Message, uniform
from planner.store import write_jsonl

LEVELS = (1, 2, 3, 4, 5)
_OPEN_EDIT = re.compile(r"\badd (?:one sentence|a joke)", re.IGNORECASE)
"""Edits that many texts fulfil, of which the target is one."""


class PromptRow(Row):
    example_id: int
    category: str
    source: str
    level: int
    instruction: str
    target: str = ""


class PairRow(Row):
    """A line of the reconstruction."""

    instruction: str
    chosen: str
    rejected: str
    category: str
    source: str
    level: int


Rule = Callable[[PromptRow, str], bool | None]
"""Whether a response meets all constraints of its prompt; None where it cannot be read."""


# -- rules -------------------------------------------------------------------------------------------------------------


def _plain(text: str) -> str:
    """Without the blanks, quotes and line ends that say nothing."""
    return " ".join(text.split()).strip("\"'` ")


def _same(row: PromptRow, response: str) -> bool:
    return _plain(response) == _plain(row.target)


def _one_of(row: PromptRow, response: str) -> bool:
    return _plain(response).rstrip(".") in ast.literal_eval(row.target)


def _events(row: PromptRow, response: str) -> bool:
    """As many different lines as were asked for, each among the possible ones."""
    asked = re.search(r"extract (\d+) event", row.instruction)
    lines = [_plain(line) for line in response.splitlines() if line.strip()]
    possible = {_plain(line) for line in row.target.splitlines()}
    return asked is not None and len(set(lines)) == len(lines) == int(asked[1]) and set(lines) <= possible


def _last(pattern: str) -> Rule:
    """The last thing of its form in the response is the target. A response without one may be right in other words."""

    def rule(row: PromptRow, response: str) -> bool | None:
        found = re.findall(pattern, response)
        return found[-1] == row.target if found else None

    return rule


def _dollars(row: PromptRow, response: str) -> bool | None:
    found = re.findall(r"\$(\d[\d,]*(?:\.\d+)?)", response)
    return float(found[-1].replace(",", "")) == float(row.target.removeprefix("$")) if found else None


def _place(row: PromptRow, response: str) -> bool | None:
    """The last floor that the response names is the target's, and so is the last apartment where that is asked for too."""
    met = []
    for part in row.target.split(", "):
        form = r"\d+(?:st|nd|rd|th) floor" if part.endswith("floor") else r"apartment \d+"
        found = re.findall(form, response, re.IGNORECASE)
        if not found:
            return None
        met.append(found[-1].lower() == part.lower())
    return all(met)


def _form(row: PromptRow, response: str) -> bool:
    """Written in the form of the examples, e.g. `BOT: …`; what it answers is not the constraint."""
    # The target is a template of Python's str.format, which is read here and never run.
    form = re.escape(row.target.removeprefix("{instruction}\n").replace("{{", "{").replace("}}", "}").replace("{answer}", "\0"))
    return re.fullmatch(form.replace("\0", r"(?:\S|\S.*\S)"), response.strip(), re.DOTALL) is not None


RULES: Mapping[str, Rule] = {
    "E2E": _same, "text_editing": _same, "CONLL2003": _one_of, "WIKIEVENTS": _events,
    "BBH_logical": _last(r"\([A-Z]\)"), "BBH_time": _last(r"\d\d/\d\d/\d{4}"), "gsm_8k": _dollars, "self_made_space": _place,
}  # fmt: skip
"""By source of the prompt; prompts of the category `example` are checked by their form."""


def rule_for(row: PromptRow) -> Rule | None:
    """What checks all constraints of a prompt; None where no rule can."""
    if row.level not in LEVELS or not row.target or (row.source == "text_editing" and _OPEN_EDIT.search(row.instruction)):
        return None
    # Without a form of its own around the answer there is nothing to check.
    if row.category == "example":
        return _form if row.target != "{instruction}\n{answer}" else None
    return RULES.get(row.source)


# -- building ----------------------------------------------------------------------------------------------------------


def build(engine: Engine, rows: Iterable[PromptRow], *, responses: int, max_tokens: int, seed: int) -> Iterator[PairRow]:
    """Draw responses to every checkable prompt; yields a pair where some meet all constraints and some do not."""
    by_key = {f"{row.category} {row.example_id} {row.level}": row for row in rows if rule_for(row)}

    def requests() -> Iterator[Request]:
        for key, row in by_key.items():
            messages = (Message(role="user", content=row.instruction),)
            if engine.fits(messages, "", max_tokens):
                yield Request(key, messages, "", responses, max_tokens, (), Sampling(temperature=1.0, top_p=1.0))

    for key, drawn in engine.sample(requests()):
        row, rule = by_key[key], rule_for(by_key[key])
        assert rule is not None
        texts = sorted({one.text.strip() for one in drawn if one.finish_reason == "stop" and one.text.strip()})
        met = [text for text in texts if rule(row, text)]
        missed = [text for text in texts if rule(row, text) is False]
        if met and missed:
            chosen, rejected = (found[int(uniform(str(seed), key) * len(found))] for found in (met, missed))
            yield PairRow(
                instruction=row.instruction,
                chosen=chosen,
                rejected=rejected,
                category=row.category,
                source=row.source,
                level=row.level,
            )


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        raise UserError("make the pairs first: python -m eval.benchmarks.followbench DATA OUT.jsonl; then give --data OUT.jsonl")
    return [
        placed(
            row.instruction,
            row.chosen,
            row.rejected,
            source="followbench",
            kind=f"level {row.level}",
            notes={"category": row.category},
        )
        for path in files(data, "*.jsonl")
        for row in read(path, PairRow)
    ]


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    """Position-consistent accuracy, over all pairs and by level."""
    kinds = sorted({one.labeled.kind for one in judged})
    groups = {"overall": list(judged), **{kind: [one for one in judged if one.labeled.kind == kind] for kind in kinds}}
    return {name: percent(sum(one.both_right for one in found), len(found)) for name, found in groups.items()}


BENCHMARK = Benchmark(
    name="followbench",
    title="FollowBenchEval, a reconstruction",
    load=load,
    official=official,
    protocol="position-consistent accuracy, by level; our own pairs, so no published number compares",
    parts={},
    totals=frozenset(),
)


def main(arguments: Sequence[str]) -> int:
    parser = Arguments(prog="python -m eval.benchmarks.followbench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder with FollowBench's *_constraints.json")
    parser.add_argument("out", type=Path, help="the pairs, JSONL")
    parser.add_argument("--model", default="embedded", help='"embedded", a folder or a hub id')
    parser.add_argument("--responses", type=int, default=8, help="drawn a prompt")
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    try:
        if asked.responses < 2 or asked.max_tokens < 1:
            raise UserError("--responses is 2 or more, one to meet the constraints and one to miss them; --max-tokens is 1 or more")
        rows = [row for path in files(asked.data, "*_constraints.json") for row in read(path, PromptRow)]
        from planner.engines.vllm import VllmEngine

        engine = VllmEngine(asked.model, seed=asked.seed, enforce_eager=True)
        try:
            made = build(engine, rows, responses=asked.responses, max_tokens=asked.max_tokens, seed=asked.seed)
            count = write_jsonl(asked.out, made)
        finally:
            engine.close()
    except (UserError, EngineError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    checkable = sum(rule_for(row) is not None for row in rows)
    print(f"{count} pairs from {checkable} checkable prompts of {len(rows)} · {asked.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
