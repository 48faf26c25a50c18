"""What trainers call prompts and completions, as the plain text that a judge reads.

A trainer hands over strings, chats in OpenAI's form, or a string that went through the policy's chat template. The judge reads
one instruction and one response; what it reads is defused later, in `prompts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]

# Of the chat formats in use (ChatML, Llama 3, Gemma, Llama 2 and Mistral): what a prompt begins with, where a user's turn starts, where it
# ends. Texts of any length and make come by here, so they are searched for plain strings, each character once.
_FORMATS = (
    (("<|im_start|>",), "<|im_start|>user\n", "<|im_end|>"),
    (("<|start_header_id|>",), "<|start_header_id|>user<|end_header_id|>\n\n", "<|eot_id|>"),
    (("<start_of_turn>",), "<start_of_turn>user\n", "<end_of_turn>"),
    (("[INST]", "[SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]"), "[INST]", "[/INST]"),
)
_BEFORE_IT = re.compile(r"(?:<s>|<bos>|<\|begin_of_text\|>|<\|endoftext\|>)*\s*")
_END = re.compile(r"(?:<\|[^<>|\n]{1,40}\|>|</s>|<eos>|<end_of_turn>)\Z")
_LONGEST_END = 44


def content(message: Mapping[str, Any]) -> str:
    """Text of one message.

    Raises:
        ValueError: it holds something that is not text.
    """
    said = message.get("content")
    if said is None or isinstance(said, str):
        return said or ""
    parts = []
    for part in said if isinstance(said, Sequence) else [said]:
        if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
            raise ValueError("a message holds something other than text, which this judge cannot read")
        parts.append(part["text"])
    return "".join(parts)


def instruction_of(prompt: str | Messages) -> str:
    """A prompt as one instruction: a single user turn as it is, a longer conversation as a transcript with its roles named."""
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1:
        return content(prompt[0])
    return "\n\n".join(f"{str(message.get('role', 'user')).capitalize()}: {content(message)}" for message in prompt)


def response_of(completion: str | Messages) -> str:
    """A completion as one response: what the assistant said in it; tool calls and their results are not shown."""
    if isinstance(completion, str):
        return completion
    said = [content(message) for message in completion if message.get("role", "assistant") == "assistant"]
    return "\n\n".join(text for text in said if text)


def untemplated(prompt: str) -> str:
    """The instruction in a prompt that went through a chat template: the user's turn, or all of them where there are several.

    A template that is not known is left as it is, and so is a text that has a template's marks anywhere but at its beginning: it is about
    them.
    """
    before = _BEFORE_IT.match(prompt)
    for openings, start, end in _FORMATS:
        if prompt.startswith(openings, before.end() if before else 0) and (turns := _between(prompt, start, end)):
            return "\n\n".join(turns)
    return prompt


def _between(text: str, start: str, end: str) -> list[str]:
    """What stands between each `start` and the next `end`, without the blanks around it."""
    found, at = [], 0
    while (begin := text.find(start, at)) >= 0:
        begin += len(start)
        at = text.find(end, begin)
        if at < 0:
            break
        found.append(text[begin:at].strip())
    return found


def completion_in(query: str, prompt: str) -> str | None:
    """What a policy wrote after `prompt` in the whole text `query`, end tokens removed; None where it does not start with the prompt."""
    at = query.find(prompt)
    # A tokenizer may put its own start token first.
    return _without_ends(query[at + len(prompt) :]) if 0 <= at < 40 else None


def _without_ends(text: str) -> str:
    """Without the end tokens at its end and the blanks around them. A text that ends in none stays as it is."""
    end, found = len(text), False
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        token = _END.search(text, max(0, end - _LONGEST_END), end)
        if token is None:
            return text[:end] if found else text
        end, found = token.start(), True
