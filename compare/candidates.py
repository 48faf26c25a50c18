"""Who is compared: models that answer the questions here, or files of answers that were made elsewhere.

A candidate's answers lie in `responses/<name>/` of the run's folder, appended as they finish; a run that was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from planner.engines.base import Engine, Request, Sampling
from planner.errors import UserError
from planner.files import json_lines, parse, read_text
from planner.progress import progress_bar
from planner.records import Completion, Message, Pair, Record, digest, transcript
from planner.store import Shard, Shards
from selftrain.config import EngineConfig


class Question(BaseModel):
    """One question to all candidates. Other columns of the file are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instruction: str
    """Given as a list of messages, it becomes their transcript, which the judge reads; candidates are asked the messages themselves."""
    input: str | None = None
    reference: str | None = None
    turns: tuple[Message, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _transcribed(cls, row: Any) -> Any:
        if not isinstance(row, dict):
            return row
        given = row.get("instruction")
        if not isinstance(given, list):
            return {**row, "turns": ()}  # somebody's column of that name is none of ours
        for turn in given:
            if (
                not isinstance(turn, dict)
                or turn.get("role") not in ("system", "user", "assistant")
                or not isinstance(turn.get("content"), str)
            ):
                raise ValueError("an instruction that is a list holds {role, content} messages of system, user and assistant")
        if not given or given[-1]["role"] != "user":
            raise ValueError("an instruction that is a list of messages ends with the user's, which is answered")
        turns = tuple(Message(role=turn["role"], content=turn["content"]) for turn in given)
        return {**row, "instruction": transcript(turns), "turns": turns}

    def asked(self, form: Literal["chat", "text"]) -> tuple[Message, ...]:
        """What a candidate reads."""
        if form == "text" or not self.turns:
            return (Message(role="user" if form == "chat" else "text", content=self.pair("", "").question),)
        *before, last = self.turns
        return (*before, last if not self.input else Message(role="user", content=f"{last.content}\n\n{self.input}"))

    @property
    def id(self) -> str:
        return digest(self.instruction, self.input or "", self.reference or "")

    def pair(self, first: str, second: str) -> Pair:
        return Pair(
            instruction=self.instruction, input=self.input or None, reference=self.reference, response_a=first, response_b=second
        )


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    response: str


class RespondConfig(Record):
    """How candidates answer."""

    max_tokens: PositiveInt = 512
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    ask: Literal["chat", "text"] = "chat"
    """`text`: the question as it stands, for models without a chat template."""
    engine: EngineConfig = EngineConfig()


class RespondJob(Record):
    """One child's assignment: have a model answer a file of questions."""

    model: str
    questions: str
    folder: str
    respond: RespondConfig


def read_questions(path: Path) -> list[Question]:
    """Questions of a `.jsonl` file, or of a `.json` list such as PandaLM's.

    Raises:
        UserError: missing, empty, or a row without an instruction; names the place.
    """
    found = [fit(value, Question, where, '{"instruction": …}') for where, value in rows(path)]
    if not found:
        raise UserError(
            f'{path} holds no questions; a row is {{"instruction": …}}, with "input" and "reference" where there are any'
        )
    return found


def read_outputs(path: Path, questions: Sequence[Question]) -> list[str]:
    """Answers that were made elsewhere, one a question and in their order: strings, or rows with `response` or `output`.

    Raises:
        UserError: missing, of another length than the questions, or a row without an answer.
    """
    found = []
    for where, value in rows(path):
        if isinstance(value, dict) and "response" not in value and "output" in value:
            value = {"response": value["output"]}
        found.append(value if isinstance(value, str) else fit(value, _Answer, where, '{"response": …} or a string').response)
    if len(found) != len(questions):
        raise UserError(f"{path} holds {len(found)} answers to {len(questions)} questions; it needs one a question, in their order")
    return found


def rows(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, value) of every row of a JSON list or a JSONL file."""
    text = read_text(path)
    if path.suffix == ".jsonl":
        yield from json_lines(text, path)
        return
    whole = parse(text, str(path))
    if not isinstance(whole, list):
        raise UserError(f"{path} is no JSON list; a file of one row a line is named .jsonl")
    for index, value in enumerate(whole):
        yield f"{path}[{index}]", value


def respond(engine: Engine, questions: Sequence[Question], folder: Path, config: RespondConfig) -> None:
    """Have a model answer what is still owed. Questions that do not fit are answered with nothing, and named `over_long`."""
    done = Shards(folder, Completion)
    owed = {question.id: question for question in questions if question.id not in done}
    with Shard[Completion](folder, 0) as shard:

        def requests() -> Iterator[Request]:
            for key, question in owed.items():
                asked = question.asked(config.ask)
                if engine.fits(asked, "", config.max_tokens):
                    yield Request(key, asked, "", 1, config.max_tokens, (), Sampling(config.temperature, 1.0))
                else:
                    shard.append(key, dropped="over_long")

        with progress_bar("answers", len(owed), "question") as bar:
            for key, completions in engine.sample(requests()):
                shard.append(key, completions)
                bar.update()


def read_responses(folder: Path, questions: Sequence[Question]) -> list[str]:
    """What `respond` left, one answer a question.

    Raises:
        UserError: answers are still owed.
    """
    found = Shards(folder, Completion)
    if any(question.id not in found for question in questions):
        raise UserError(f"{folder} lacks answers; delete it and run the same command again: they are made anew")
    return ["".join(one.text for one in found.get(question.id)) for question in questions]


def fit(value: Any, kind: Any, where: str, form: str) -> Any:
    """A row of a user's file as a record.

    Raises:
        UserError: it is none; names the place, what does not fit, and the form.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(
            f"{where} does not fit at {'.'.join(map(str, problem['loc'])) or 'the row'} ({problem['msg']}); a row is {form}"
        ) from None
