"""SFT rows from another judge's judgments: an iteration that draws no chains.

Each judgment is taught in both orders, so that its slot teaches nothing, and the labels are balanced as those of drawn chains are.
`evalplanner distil` is the way to teach any style from such a file; this is for a judge that goes on from there by itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from planner.errors import UserError
from planner.records import LabeledPair, Message, digest
from planner.store import read_jsonl, write_jsonl
from selftrain.config import Config, JudgedFile
from selftrain.distil import Taught, consistent
from selftrain.distil.files import read
from selftrain.judged import told
from selftrain.pairs.near import HeldOut
from selftrain.rows import Drawn, SftRow, balanced, broken


def opened(file: JudgedFile) -> Iterator[Taught]:
    """The judgments of a file.

    Raises:
        UserError: a missing file or a bad row, named by place.
    """
    return read(file.form, Path(file.path), Path(file.verdicts) if file.verdicts else None)


def write_taught_rows(
    config: Config, file: JudgedFile, path: Path, measured: Iterable[Path], *, special: tuple[str, ...]
) -> tuple[int, Counter[str]]:
    """Write TRL rows; returns how many, and which judgments were left out and why.

    Args:
        measured: files of pairs whose instructions may not train, in any spelling, nor what nearly repeats one (`pairs.hygiene`).
        special: special tokens of the tokenizer that will read the rows.

    Raises:
        UserError: a bad file, or not one row could be made.
    """
    held_out = HeldOut(
        (one.pair.question for pairs in measured for one in read_jsonl(pairs, LabeledPair)), config.pairs.hygiene.near_duplicates
    )
    counts: Counter[str] = Counter()
    passes = iter((counts, Counter[str]()))  # the second pass would count everything again
    labels = config.style.labels
    rows = balanced(lambda: _drawn(config, file, held_out, next(passes)), max_unparsed_share=1.0, counts=counts, labels=labels)
    written = write_jsonl(path, broken(rows, special))
    if not written:
        raise UserError(
            f"{path}: no row could be made of {file.path}: {told(counts)}; it needs judgments of each of {', '.join(labels)}"
        )
    return written, counts


def _drawn(config: Config, file: JudgedFile, held_out: HeldOut, counts: Counter[str]) -> Iterator[Drawn]:
    style = config.style
    for place, one in enumerate(consistent(opened(file), counts)):
        if one.opinion.verdict == "tie" and not style.ties:
            counts["tie"] += 1
        elif one.pair.question in held_out:
            counts["held_out"] += 1
        else:
            for order, shown in (("ab", one), ("ba", one.swapped())):
                assert shown.opinion.verdict != "none", "`consistent` keeps what has a verdict"
                text = style.chain_text(None, shown.opinion.reason, shown.opinion.verdict)
                read_back = style.read_chain(text)
                if (read_back.verdict, read_back.execution) != (shown.opinion.verdict, shown.opinion.reason.strip()):
                    counts["out_of_form"] += 1  # its reasons hold a tag of ours, or name another verdict
                    continue
                row = SftRow(prompt=style.judge_prompt(shown.pair).messages, completion=(Message(role="assistant", content=text),))
                yield Drawn(row, shown.pair.id, shown.opinion.verdict, digest(str(place), order))
