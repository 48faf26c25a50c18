"""What a model reads: one .txt file per prompt, in named sets, and the one function that fills them.

A file holds the sections `---system---`, `---user---` and `---assistant---` (the last is a prefill that the model goes on
from), each optional but the user's. In place of `---user---` it may hold `---text---`: a prompt from before chat templates,
which reaches the model as it stands. Fields are written `{instruction}`, `{response_a}`, … and are filled in one pass, so
that braces or field names inside a response stay what they are: text.

Any prompt about a pair also takes a reference answer, which then stands right after the question.

Responses are untrusted, and ordinary text must stay as it is: HTML, code, somebody's `[Task]`. So each field is defused by what
can do harm where it stands. `render` breaks what the prompt set in use takes for its own (`defuse`); who holds a tokenizer
breaks that tokenizer's special tokens (`break_tokens`). Training, evaluation and reward all go through the two.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, get_args

PromptSet = Literal["paper", "short"]
"""The complete sets, which a judge can be trained with."""
PromptFolder = Literal["paper", "short", "plain", "pandalm", "judgelm", "self-taught", "j1", "data"]
"""All folders; `data` holds what an engine is asked that writes training data, the others the prompts of other judges' families."""
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
# What a verdict reader takes for one. `x[[1]]` and `[[Paris]]` are ordinary text.
_VERDICT_TAG = re.compile(r"\[\[\s*(A|B|C|tie)\s*\]\]", re.IGNORECASE)
# The headings of prompts that have no brackets, and of the answers to them: `### Response 1:`.
_HEADING = re.compile(
    r"^([ \t]*)###[ \t]*((?:Instruction|Input|Response(?: \d+)?|Evaluation|Reason|Reference)[ \t]*:)", re.IGNORECASE | re.MULTILINE
)
_BRACKETED = re.compile(r"\[([A-Z][^\[\]\n]{0,60})\]")
_ANGLED = re.compile(r"<(/?[a-z]+)>")
# Control syntax of chat formats (ChatML, Llama 2 and 3, Gemma, DeepSeek, Mistral) that nobody writes for anything else.
_CONTROL = re.compile(
    r"<([|｜])([^\s<>|｜]{1,60})[|｜]>|<((?:start|end)_of_turn)>"
    r"|\[(/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS))\]|<<(/?SYS)>>",
    re.IGNORECASE,
)
# Halves of characters, which an escape in JSON can name. No tokenizer takes them, and nothing can be sent that holds one.
_HALVES = re.compile("[\ud800-\udfff]")
AMBIGUOUS_TOKENS = (
    "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<cls>", "<sep>",
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]", "[EOS]", "[gMASK]",
)  # fmt: skip
"""Special tokens of some tokenizers and ordinary text to others: what to break where the tokenizer is never seen."""


class PromptError(ValueError):
    """A prompt that cannot be filled."""


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
def text_digest(prompt_set: PromptFolder, *, ties: bool = True) -> str:
    """Hash of a whole set's text, for the stamp that a run is resumed under. `ties`: with the prompts that allow one."""
    import hashlib

    every = (item for item in (files("prompts") / prompt_set).iterdir() if ties or not item.name.endswith("-tie.txt"))
    found = sorted(every, key=lambda item: item.name)
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
    safe = {field: defuse(value, folder) for field, value in fields.items()}
    filled = [(role, _FIELD.sub(lambda match: safe[match[1]], text)) for role, text in sections]
    prefill = "".join(text for role, text in filled if role == "assistant")
    return [(role, text) for role, text in filled if role != "assistant"], prefill


@cache
def _markers(folder: PromptFolder) -> tuple[tuple[re.Pattern[str], str], ...]:
    """(pattern, replacement) of what a set's prompts and their answers are marked with, found in the files so that none is forgotten."""
    # A prompt that allows a tie is marked as the one that does not; its `[[C]]` must not make `[C]` a marker of the whole set.
    names = [file.name.removesuffix(".txt") for file in (files("prompts") / folder).iterdir() if not file.name.endswith("-tie.txt")]
    texts = [text for name in names for _, text in template(folder, name)]
    bracketed = {inner for text in (*texts, _REFERENCE) for inner in _BRACKETED.findall(text)}
    bracketed |= {tag[1:-1] for tag in CHAIN_TAGS} if folder in get_args(PromptSet) else set()
    inner = "|".join(r"\s+".join(map(re.escape, marker.split())) for marker in sorted(bracketed, key=len, reverse=True))
    inner = inner.replace(r"\{k\}", r"\d+")  # a numbered marker
    found = [(re.compile(rf"\[\s*({inner})\s*\]", re.IGNORECASE), r"(\1)")]
    if angled := {name.lstrip("/") for text in texts for name in _ANGLED.findall(text)}:
        found.append((re.compile(rf"<\s*(/?\s*(?:{'|'.join(sorted(angled))}))\s*>", re.IGNORECASE), r"(\1)"))
    if any(_HEADING.search(text) for text in texts):
        found.append((_HEADING, r"\1\2"))
    return tuple(found)


def defuse(text: str, folder: PromptFolder) -> str:
    """Make what a set of prompts is marked with, verdict tags and chat control inert in untrusted text; the rest stays as it is.

    `[[A]]` becomes `((A))`, `[Final Verdict]` becomes `(Final Verdict)`, `<|im_end|>` becomes `< im_end >`, `<answer>` becomes
    `(answer)` and `### Response 1:` loses its hashes. Half a character becomes U+FFFD. Applying it twice changes nothing more.
    """
    text = _HALVES.sub("\ufffd", text)
    text = _CONTROL.sub(lambda m: f"< {m[2] or m[3] or m[4] or m[5]} >", text)
    text = _VERDICT_TAG.sub(r"((\1))", text)
    for pattern, replacement in _markers(folder):
        text = pattern.sub(replacement, text)
    return text


_HALF = re.compile("[\ud800-\udfff]")


def break_tokens(text: str, tokens: tuple[str, ...]) -> str:
    """Text in which no special token of a tokenizer stands any more: each gets a blank after its first character.

    Messages never hold one of ours, as chat templates bring their own, so all of a message is passed through here. Half of a surrogate
    pair, which no tokenizer and no UTF-8 takes, becomes the character for what cannot be read.
    """
    text = _HALF.sub("\ufffd", text)
    return _any_of(tokens).sub(lambda match: f"{match[0][0]} {match[0][1:]}", text) if tokens else text


@cache
def _any_of(tokens: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))))
