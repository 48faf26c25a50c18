"""What travels over HTTP: the bodies of every route, with the limits that do not depend on a config, and an example each."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from planner.records import Order, Verdict
from rewards.chat import content
from rewards.contest import Comparison, Cost
from rewards.tournament import Strategy

NEUTRAL = 0.5
"""What stands for "no reward" where a trainer takes numbers only: as good as what it was compared with. Always beside a flag."""


class Body(BaseModel):
    """A request of ours: a field nobody knows is an error, and so is a number for a text or for true."""

    model_config = ConfigDict(extra="forbid", strict=True)


def _whole(value: Any) -> Any:
    """JSON has one kind of number, so 2.0 is an integer; true is none."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


def _example(**fields: Any) -> dict[str, Any]:
    return {"examples": [fields]}


# -- OpenRLHF ----------------------------------------------------------------------------------------------------------


class GetReward(Body):
    """OpenRLHF's request. A query is the whole text, prompt and special tokens included; a label is a known answer or empty."""

    model_config = ConfigDict(
        json_schema_extra=_example(query=["Name a river.The Loire.</s>"], prompts=["Name a river."], labels=[""]),
    )

    query: list[str]
    prompts: list[str]
    labels: list[str | None] = []

    @model_validator(mode="after")
    def _consistent(self) -> GetReward:
        self.labels = self.labels or [None] * len(self.query)
        if not len(self.query) == len(self.prompts) == len(self.labels):
            raise ValueError("query, prompts and labels are of different lengths")
        return self


class Rewards(BaseModel):
    """OpenRLHF's reply. Where `extra_logs.invalid` is 1 there was no reward, and `rewards` holds the neutral 0.5."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]]


# -- comparing ---------------------------------------------------------------------------------------------------------


class Compare(Body):
    """A group of responses to one instruction."""

    model_config = ConfigDict(
        json_schema_extra=_example(instruction="Name a river in French.", responses=["La Loire.", "The Loire."])
    )

    instruction: str
    responses: Annotated[list[str], Field(min_length=1)]
    reference: str | None = None
    strategy: Strategy | None = None
    """Another than the server's own."""


class Compared(BaseModel):
    """Rewards in [0, 1]; null, and `valid` false, where there is none."""

    rewards: list[float | None]
    valid: list[bool]
    comparisons: list[Comparison]
    cost: Cost


class Asked(BaseModel):
    """What NeMo-Gym's policy was asked, of which only the input matters here."""

    model_config = ConfigDict(extra="allow", strict=True)

    input: str | Annotated[list[dict[str, Any]], Field(min_length=1)]


class ResponseObject(BaseModel):
    """An object of the Responses API, of which only the messages matter here."""

    model_config = ConfigDict(extra="allow", strict=True)

    output: list[dict[str, Any]]


class GymCompare(Body):
    """NeMo-Gym's request: a conversation, and objects of the Responses API that answer it."""

    model_config = ConfigDict(
        json_schema_extra=_example(
            conversation_history=[{"role": "user", "content": "Name a river in French."}],
            response_objs=[
                {"output": [{"type": "message", "content": [{"type": "output_text", "text": text}]}]}
                for text in ("La Loire.", "The Loire.")
            ],
        ),
    )

    conversation_history: Annotated[list[dict[str, str]], Field(min_length=1)]
    response_objs: list[ResponseObject]
    principle: None = None
    """Not taken: this judge writes its own plan."""


class GymCompared(BaseModel):
    """NeMo-Gym's reply. Where `valid` is false there was no reward, and `rewards` holds the neutral 0.5."""

    rewards: list[float]
    valid: list[bool]
    comparison_results: list[dict[str, Any]]
    metrics: dict[str, float]


class Verify(BaseModel):
    """NeMo-Gym's request for one rollout; what else it carries comes back as it is."""

    model_config = ConfigDict(
        extra="allow",
        strict=True,
        json_schema_extra=_example(
            responses_create_params={"input": [{"role": "user", "content": "Name a river."}]},
            response={"output": [{"type": "message", "content": [{"type": "output_text", "text": "The Loire."}]}]},
            _ng_task_index=0,
            _ng_rollout_index=3,
        ),
    )

    responses_create_params: Asked
    response: ResponseObject
    task_index: Annotated[Whole | None, Field(alias="_ng_task_index")] = None
    rollout_index: Annotated[Whole | None, Field(alias="_ng_rollout_index")] = None

    @property
    def name(self) -> str | None:
        return None if self.rollout_index is None else f"{self.task_index}/{self.rollout_index}"


class Verified(BaseModel):
    """NeMo-Gym's reply, the request's own fields included. Where `invalid` is true, `reward` is the neutral 0.5."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any]
    response: dict[str, Any]
    reward: float
    invalid: bool


def output_text(response: ResponseObject) -> str:
    """What an object of the Responses API says: the text of its messages; its reasoning is not shown.

    Raises:
        ValueError: a message holds something other than text.
    """
    return "\n\n".join(filter(None, (content(item) for item in response.output if item.get("type", "message") == "message")))


# -- judging -----------------------------------------------------------------------------------------------------------


class JudgeRequest(Body):
    """One pair."""

    model_config = ConfigDict(
        json_schema_extra=_example(instruction="Name a river in French.", response_a="La Loire.", response_b="The Loire."),
    )

    instruction: str
    response_a: str
    response_b: str
    reference: str | None = None
    stream: bool = False
    """Send plan, execution and verdict as server-sent events, each as it is there."""


class StageEvent(BaseModel):
    """One server-sent event of `/judge`; the last is the whole `Judgment`, under the event name `judgment`."""

    stage: Literal["plan", "execution", "verdict"]
    order: Order
    text: str | None = None
    verdict: Verdict | None = None
    """In the naming of the pair as it stands."""
    p_a: float | None = None


# -- OpenAI ------------------------------------------------------------------------------------------------------------


class ChatMessage(Body):
    role: Literal["system", "user", "assistant"]
    content: str


class ChatRequest(Body):
    """The part of OpenAI's chat request that a judge needs. A seed is refused: vLLM's CPU sampler ends at one."""

    model_config = ConfigDict(
        json_schema_extra=_example(model="embedded", messages=[{"role": "user", "content": "Which is better?"}], max_tokens=32),
    )

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_tokens: Annotated[Whole, Field(ge=1, le=32_768)] = 2048
    n: Annotated[Whole, Field(ge=1, le=16)] = 1
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    logprobs: bool = False
    top_logprobs: Annotated[Whole, Field(ge=0, le=20)] = 0
    stream: bool = False


class Problem(BaseModel):
    """Why a request was not answered."""

    detail: Any
