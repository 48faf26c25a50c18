"""RM-Bench: subtle errors and style, 1,327 prompts with 3 chosen and 3 rejected responses each (arXiv 2410.16184).

Data: JSON lists, one a part (`chat_filtered.json`, …), or all in `total_dataset.json`; on the hub `THU-KEG/RM-Bench`. The three
responses of each side are concise, detailed, and detailed with markdown, so a prompt is a 3×3 matrix of comparisons, chosen style
by rejected style. Hard is the upper triangle (chosen in the plainer style), normal the diagonal, easy the lower; a domain is the
mean of the three, safety pools its two parts, the total is the mean of the four domains. A comparison is won strictly. Most
judges are scored in one order (here a seeded one: `chat`, …, `overall`); EvalPlanner's authors count pairs right in both
(`consistent chat`, …).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field

from eval.benchmarks.base import Benchmark, Percentages, Published, Row, files, from_hub, mean, placed, read
from eval.judged import Judged
from planner.errors import UserError
from planner.records import LabeledPair, Order, uniform

STYLES = ("concise", "detailed", "markdown")
_PARTS = {"chat": 129, "math": 529, "code": 228, "safety-refuse": 284, "safety-response": 157}
LEVELS = ("easy", "normal", "hard")
DOMAINS = ("chat", "math", "code", "safety")
_Three = Annotated[list[str], Field(min_length=3, max_length=3)]


class PromptRow(Row):
    id: int | str
    prompt: str
    subset: str = ""
    domain: str = ""
    chosen: _Three
    rejected: _Three


def load(data: Path | None) -> list[LabeledPair]:
    if data is None:
        return [pair for row in from_hub("THU-KEG/RM-Bench", "train", PromptRow) for pair in _pairs(row, row.domain or row.subset)]
    found = files(data, "*_filtered.json", "total_dataset.json")
    whole = [path for path in found if path.name == "total_dataset.json"]
    return [
        pair
        for path in whole or found
        for row in read(path, PromptRow)
        for pair in _pairs(row, row.domain or path.name.removesuffix("_filtered.json"))
    ]


def _pairs(row: PromptRow, part: str) -> list[LabeledPair]:
    """The nine comparisons of a prompt."""
    if part not in _PARTS:
        raise UserError(
            f"prompt {row.id} is of the part {part!r}; RM-Bench has {', '.join(_PARTS)}, each in its <part>_filtered.json"
        )
    return [
        placed(
            row.prompt, row.chosen[i], row.rejected[j], source="rmbench", kind=part.partition("-")[0],
            notes={"part": part, "prompt": f"{part} {row.id}", "chosen": STYLES[i], "rejected": STYLES[j], "subset": row.subset},
        )
        for i, j in product(range(3), range(3))
    ]  # fmt: skip


def official(judged: Sequence[Judged], seed: int) -> Percentages:
    scores = _levels(judged, [one.right(_drawn_order(one.labeled.pair.id, seed)) for one in judged])
    if all(len(one.chains) == 2 for one in judged):
        both = _levels(judged, [one.both_right for one in judged])
        scores.update({f"consistent {name}": value for name, value in both.items()})
    return scores


@cache
def _drawn_order(pair_id: str, seed: int) -> Order:
    return "ab" if uniform("rmbench", str(seed), pair_id) < 0.5 else "ba"


def _levels(judged: Sequence[Judged], wins: Sequence[bool]) -> Percentages:
    """Each domain's levels and mean, then the means over the domains at hand."""
    won: dict[tuple[str, str], list[float]] = defaultdict(list)
    for one, win in zip(judged, wins, strict=True):
        won[one.labeled.kind, level(one.labeled)].append(100.0 * win)
    scores: Percentages = {}
    domains = [domain for domain in DOMAINS if (domain, LEVELS[0]) in won]
    for domain in domains:
        scores.update({f"{domain} {name}": mean(won[domain, name]) for name in LEVELS})
        scores[domain] = mean([scores[f"{domain} {name}"] for name in LEVELS])
    for name in LEVELS:
        scores[name] = mean([scores[f"{domain} {name}"] for domain in domains])
    scores["overall"] = mean([scores[domain] for domain in domains])
    return scores


def level(pair: LabeledPair) -> str:
    """One of `LEVELS`."""
    chosen, rejected = STYLES.index(pair.notes["chosen"]), STYLES.index(pair.notes["rejected"])
    return "hard" if chosen < rejected else "normal" if chosen == rejected else "easy"


_TOTALS = (*LEVELS, "overall")
BENCHMARK = Benchmark(
    name="rmbench",
    title="RM-Bench",
    load=load,
    official=official,
    protocol="3×3 matrix of styles a prompt; one seeded order; a domain is the mean of easy, normal, hard; “consistent …”: both orders",
    parts=_PARTS,
    totals=frozenset([*_TOTALS, *(f"consistent {name}" for name in _TOTALS)]),
    published=(
        Published("Skywork-Reward-V2-8B-40M (scalar)", 96.0, "overall", "Skywork-Reward-V2's paper"),
        Published("J1-Qwen-32B-MultiTask", 90.3, "overall", "arXiv 2505.10320"),
        Published("RM-R1-DeepSeek-Distilled-Qwen-32B", 83.9, "overall", "the released logs of github.com/RM-R1-UIUC/RM-R1"),
        Published("EvalPlanner, Llama-3.3-70B", 82.1, "consistent overall", "arXiv 2501.18099, Table 4"),
        Published("EvalPlanner, Llama-3.1-8B", 68.1, "overall", "arXiv 2505.10320"),
        Published("Llama-3.1-70B-Instruct", 64.9, "consistent overall", "arXiv 2501.18099, Table 4"),
    ),
)
