"""The self-taught evaluator's preference rows, which the paper's WildChat pairs come from.

A row is `{id, src, tgt_chosen, tgt_rejected}`: `src` is a judge prompt with the instruction and both answers between their tags, and the
right verdict is the last one of `tgt_chosen`. The set is gated, and the released form names conversations instead of quoting them: where
the question is a conversation's hash, `pairs.prompts` is the file of conversations (WildChat's `{conversation_hash, turn, conversation}`),
and the prompt is the user's message of that turn. The set holds many judgments of a pair in both orders; each pair counts once.

Written from the format's description and tested on a synthetic copy of it, not on the set itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from planner.errors import UserError
from planner.records import LabeledPair
from planner.verdict import read_verdict
from selftrain.data_config import SourceConfig
from selftrain.pairs.jsonl import place
from selftrain.pairs.table import open_rows, rows, text

# Each tag is taken where it first stands, for good (`(?>`, `*+`): answers may hold thousands of blank lines, and tags of their own.
_PARTS = re.compile(
    r"(?>.*?\[User Question\]\]?[^\S\n]*+\n)"
    r"(?>(?P<question>.*?)^[^\S\n]*+\[The Start of Assistant A's Answer\][^\S\n]*+\n)(?>(?P<a>.*?)\[The End of Assistant A's Answer\])"
    r"(?>.*?\[The Start of Assistant B's Answer\][^\S\n]*+\n)(?>(?P<b>.*?)\[The End of Assistant B's Answer\])",
    re.DOTALL | re.IGNORECASE | re.MULTILINE,
)


class Judged(NamedTuple):
    """What one row says."""

    question: str
    a: str
    b: str
    better: str


def parse(where: str, row: dict[str, Any]) -> Judged | None:
    """The question, both answers and the verdict; None where the chosen judgment names no single winner.

    Raises:
        UserError: the row is not of this format.
    """
    src = row.get("src")
    if isinstance(src, list):  # a chat: the prompt is its messages, one after the other
        src = "\n\n".join(str(message.get("content", "")) for message in src if isinstance(message, dict))
    if not isinstance(src, str):
        raise UserError(f"{where}: no text in 'src'; a row is {{id, src, tgt_chosen, tgt_rejected}}")
    match = _PARTS.match(src)
    if match is None:
        raise UserError(f"{where}: 'src' has no [User Question] and answers of Assistant A and B between their tags")
    verdict = read_verdict(text(where, row, "tgt_chosen"))
    if verdict not in ("A", "B"):
        return None
    return Judged(match["question"].strip(), match["a"].strip(), match["b"].strip(), verdict)


def conversations(path: str) -> dict[str, str]:
    """Hash (and `hash:turn`) -> what the user said in that turn.

    Raises:
        UserError: a row without a hash or a conversation.
    """
    found: dict[str, str] = {}
    for where, row in open_rows(path):
        name, chat, turn = row.get("conversation_hash"), row.get("conversation"), row.get("turn", 1)
        if not isinstance(name, str) or not isinstance(chat, list) or not isinstance(turn, int):
            raise UserError(f"{where}: a conversation is {{conversation_hash, turn, conversation: [{{content}}, …]}}")
        asked = [
            message["content"] for message in chat[::2] if isinstance(message, dict) and isinstance(message.get("content"), str)
        ]
        if len(asked) < turn or turn < 1:
            raise UserError(f"{where}: turn {turn} of a conversation in which the user spoke {len(asked)} times")
        found[name] = asked[turn - 1]
    return found


def read(config: SourceConfig, folder: Path, seed: int, counts: Counter[str]) -> Iterator[LabeledPair]:
    """The pairs, in the file's order; a pair's further judgments are left to whoever removes duplicates."""
    joined = conversations(config.prompts) if config.prompts else {}
    for where, row in rows(config):
        judged = parse(where, row)
        counts["rows"] += 1
        if judged is None:
            counts["rows_without_winner"] += 1
            continue
        named = row.get("instruction") if isinstance(row.get("instruction"), str) else judged.question
        question = joined.get(str(named)) or joined.get(judged.question) or judged.question
        if re.fullmatch(r"[0-9a-f]{32}", question):
            counts["rows_without_prompt"] += 1  # a hash that no conversation was given for
            continue
        chosen, rejected = (judged.a, judged.b) if judged.better == "A" else (judged.b, judged.a)
        if not question.strip() or not chosen or not rejected or chosen == rejected:
            counts["rows_without_contrast"] += 1
            continue
        yield place(instruction=question, chosen=chosen, rejected=rejected, source="self_taught", kind="self_taught", notes={})
