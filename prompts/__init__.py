"""What a model reads: one .txt file per prompt, in named sets, and the one function that fills them.

A file holds the sections `---system---`, `---user---` and `---assistant---` (the last is a prefill that the model goes on
from), each optional but the user's. In place of `---user---` it may hold `---text---`: a prompt from before chat templates,
which reaches the model as it stands. Fields are written `{instruction}`, `{response_a}`, … and are filled in one pass, so
that braces or field names inside a response stay what they are: text.

Any prompt about a pair also takes a reference answer, which then stands right after the question.

Responses are untrusted. `defuse` makes our own section markers, verdict tags and chat-control tokens harmless inside any
field, and `render` applies it to every field, so training, evaluation and reward cannot differ in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, get_args

PromptSet = Literal["paper", "short"]
"""The complete sets, which a judge can be trained with."""
PromptFolder = Literal["paper", "short", "plain", "pandalm", "judgelm", "self-taught", "j1"]
"""All folders; the others hold the prompts of other judges' families."""
PromptName = Literal["plan", "plan-criteria", "plan-questions", "execution", "execution-none", "judge"]
Role = Literal["system", "user", "text", "assistant"]

ONE_LINE: frozenset[PromptSet] = frozenset({"short"})
"""Sets for small models: a plan is one line and needs no end tag, because a newline ends it."""

# The tags of a judge's chain (the paper's Figure 1). Here because responses must not be able to forge them.
PLAN_START, PLAN_END = "[Start of Evaluation Plan]", "[End of Evaluation Plan]"
EXECUTION_START, EXECUTION_END = "[Start of Plan Execution]", "[End of Plan Execution]"
FINAL_VERDICT = "[Final Verdict]"
CHAIN_TAGS = (PLAN_START, PLAN_END, EXECUTION_START, EXECUTION_END, FINAL_VERDICT)

_SECTION = re.compile(r"^---(system|user|text|assistant)---\n", re.MULTILINE)
_FIELD = re.compile(r"\{(instruction|input|response(?:_(?:a|b|\d+))?|plan|reference)\}")
_QUESTION_ENDS = re.compile(r"\{input\}|\{instruction\}(?!.*\{input\})", re.DOTALL)
_REFERENCE = "\n\n[Reference Answer]\n{reference}"
_VERDICT_TAG = re.compile(r"\[\[\s*(\w{1,10})\s*\]\]")
# The headings of prompts that have no brackets, and of the answers to them: `### Response 1:`.
_HEADING = re.compile(
    r"^([ \t]*)###[ \t]*((?:Instruction|Input|Response(?: \d+)?|Evaluation|Reason|Reference)[ \t]*:)", re.IGNORECASE | re.MULTILINE
)
# Control tokens of the chat formats in use (ChatML, Llama 2 and 3, Gemma, DeepSeek, Mistral, BERT-like). An engine that has
# a tokenizer checks that all of its special tokens are covered and refuses to start otherwise.
_CONTROL = re.compile(
    r"<([|｜])([^<>|｜\n]{1,60})[|｜]>"
    r"|<(/?(?:s|bos|eos|pad|unk|mask|cls|sep|start_of_turn|end_of_turn|start_of_image|end_of_image|think|plan|execution|answer|score|tool_call|tool_response|unused\d+|"
    r"jupyter_\w+|empty_output|filename|gh_stars|issue_\w+|repo_name|file_sep|commit_\w+|reponame|code))>"
    r"|\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS|PAD|UNK|CLS|SEP|MASK|BOS|EOS|gMASK))\]"
    r"|<<(/?SYS)>>",
    re.IGNORECASE,
)


class PromptError(ValueError):
    """A prompt that cannot be filled, or a special token that `defuse` does not know."""


@cache
def template(folder: PromptFolder, name: str) -> tuple[tuple[Role, str], ...]:
    """The sections of a prompt, unfilled.

    Raises:
        PromptError: no such set or name, or a file whose sections are not in the order system, user or text, assistant.
    """
    if folder not in get_args(PromptFolder):
        raise PromptError(f"no prompt set {folder!r}; there are {', '.join(get_args(PromptFolder))}")
    resource = files("prompts") / folder / f"{name}.txt"
    if not resource.is_file():
        raise PromptError(f"prompt set {folder!r} has no prompt {name!r}")
    parts = _SECTION.split(resource.read_text(encoding="utf-8"))
    # The file's last newline is the editor's, not the prompt's; a prefill keeps what stands before it.
    sections = [(role, text.removesuffix("\n")) for role, text in zip(parts[1::2], parts[2::2], strict=True)]
    order = [role for role, _ in sections]
    if parts[0].strip() or ("user" in order) == ("text" in order) or order != [r for r in get_args(Role) if r in order]:
        raise PromptError(f"prompts/{folder}/{name}.txt must be sections ---system---, ---user---, ---assistant--- in order")
    return tuple(sections)  # type: ignore[arg-type]


@cache
def text_digest(prompt_set: PromptSet) -> str:
    """Hash of a whole set's text, for the stamp that a run is resumed under."""
    import hashlib

    found = sorted((files("prompts") / prompt_set).iterdir(), key=lambda item: item.name)
    return hashlib.sha256("\0".join(f.name + f.read_text(encoding="utf-8") for f in found).encode()).hexdigest()[:16]


def render(
    folder: PromptFolder, name: str, parts: Mapping[str, str] = MappingProxyType({}), **fields: str
) -> tuple[list[tuple[Role, str]], str]:
    """Fill a prompt.

    Args:
        parts: further pieces of the prompt, by the name in braces that they stand for; ours, so not defused.
        fields: values by field name; each is defused. Exactly those that the prompt names, and `reference` where wanted.

    Returns:
        (messages, prefill): messages as (role, text), and the text that the assistant's turn already starts with ("" if none).

    Raises:
        PromptError: a field too many or too few.
    """
    sections = template(folder, name)
    for part, piece in parts.items():
        sections = tuple((role, text.replace(f"{{{part}}}", piece)) for role, text in sections)
    if "reference" in fields:
        sections = tuple((role, _QUESTION_ENDS.sub(lambda match: match[0] + _REFERENCE, text)) for role, text in sections)
    named = {field for _, text in sections for field in _FIELD.findall(text)}
    if named != fields.keys():
        raise PromptError(f"prompt {folder}/{name} takes {sorted(named)}, got {sorted(fields)}")
    safe = {field: defuse(value) for field, value in fields.items()}
    filled = [(role, _FIELD.sub(lambda match: safe[match[1]], text)) for role, text in sections]
    prefill = "".join(text for role, text in filled if role == "assistant")
    return [(role, text) for role, text in filled if role != "assistant"], prefill


@cache
def _markers() -> re.Pattern[str]:
    """Every bracketed marker that any of our prompts uses, found in the files themselves so that none is forgotten."""
    found = {*CHAIN_TAGS, _REFERENCE.split("\n")[2]}
    for folder in get_args(PromptFolder):
        for file in (files("prompts") / folder).iterdir():
            for _, text in template(folder, file.name.removesuffix(".txt")):
                found |= set(re.findall(r"\[[A-Z][^\[\]\n]{0,60}\]", text))
    inner = "|".join(r"\s+".join(map(re.escape, marker[1:-1].split())) for marker in sorted(found, key=len, reverse=True))
    inner = inner.replace(r"\{k\}", r"\d+")  # a numbered marker
    return re.compile(rf"\[\s*({inner})\s*\]", re.IGNORECASE)


def defuse(text: str) -> str:
    """Make markers, verdict tags and control tokens in untrusted text inert, readable, and otherwise as they were.

    `[[A]]` becomes `((A))`, `[Final Verdict]` becomes `(Final Verdict)`, `<|im_end|>` becomes `< im_end >`, and `### Response 1:`
    loses its hashes. Applying it twice changes nothing more.
    """
    text = _CONTROL.sub(lambda m: f"< {m[2] or m[3] or m[4] or m[5]} >", text)
    text = _VERDICT_TAG.sub(r"((\1))", text)
    text = _HEADING.sub(r"\1\2", text)
    return _markers().sub(r"(\1)", text)


def check_special_tokens(tokens: Iterable[str]) -> None:
    """Refuse a tokenizer whose control tokens could pass through `defuse`.

    Raises:
        PromptError: names the tokens.
    """
    # Only tokens that look like control syntax; a tokenizer may list ordinary characters as added tokens.
    loose = sorted({t for t in tokens if t.strip() and re.search(r"[<\[].*[>\]]", t) and defuse(t) == t})
    if loose:
        raise PromptError(f"special tokens {loose} would reach the model from inside a response; add them to prompts._CONTROL")
