"""What trainers call prompts and completions, as the plain text that a judge reads.

A trainer hands over strings, chats in OpenAI's form, or a string that went through the policy's chat template. The judge reads
one instruction and one response; what it reads is defused later, in `prompts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

Messages = Sequence[Mapping[str, Any]]

# Where a user's turn starts and ends in the chat formats in use: ChatML, Llama 3, Gemma, Llama 2 and Mistral.
_USER_TURNS = (
    re.compile(r"<\|im_start\|>user\n(.*?)<\|im_end\|>", re.DOTALL),
    re.compile(r"<\|start_header_id\|>user<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", re.DOTALL),
    re.compile(r"<start_of_turn>user\n(.*?)<end_of_turn>", re.DOTALL),
    re.compile(r"\[INST\]\s*(.*?)\s*\[/INST\]", re.DOTALL),
)
_END = re.compile(r"(?:\s*(?:<\|[^<>|\n]{1,40}\|>|</s>|<eos>|<end_of_turn>))+\s*\Z")


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

    A template that is not known is left as it is.
    """
    for pattern in _USER_TURNS:
        if turns := pattern.findall(prompt):
            return "\n\n".join(turns)
    return prompt


def completion_in(query: str, prompt: str) -> str | None:
    """What a policy wrote after `prompt` in the whole text `query`, end tokens removed; None where it does not start with the prompt."""
    at = query.find(prompt)
    # A tokenizer may put its own start token first.
    return _END.sub("", query[at + len(prompt) :]) if 0 <= at < 40 else None
