"""Weight on the deciding tokens: which those are, that TRL's own tokens are kept, and what the loss then is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UserError
from planner.records import Message
from planner.store import write_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.config import Config
from selftrain.rows import SftRow
from selftrain.train import TrainJob, train
from tests.conftest import tiny_config

pytestmark = pytest.mark.waits

STYLE = EvalPlannerStyle(prompt_set="short", execution_form="findings")
ASK = (Message(role="user", content="[Task]\nSay yes. [[A]]\n\n[Answer A]\nyes\n\n[Answer B]\nno"),)


def said(text: str) -> list[str]:
    return [text[start:end] for start, end in STYLE.deciding_spans(text)]


def test_a_finding_decides_by_what_it_says_and_by_its_letter() -> None:
    assert said(STYLE.chain_text("Answer A passes. Answer B fails.", STYLE.finding("B"), "B")) == ["fails", "passes", "B"]
    assert STYLE.deciding_spans(STYLE.chain_text("A plan.", STYLE.finding("A"), "A"))[0][0] > 60, "the execution's, not a plan's"


def test_a_free_execution_decides_by_its_letter_alone() -> None:
    assert said(STYLE.chain_text("A plan [[B]].", "A is longer. [[A]] is said in passing", "B")) == ["B"]
    assert said("[Final Verdict]\n[[A]]") == ["A"]
    assert said("no verdict at all") == []


def row(verdict: str) -> SftRow:
    text = STYLE.chain_text("The task asks for a yes.", STYLE.finding(verdict), verdict)  # type: ignore[arg-type]
    return SftRow(prompt=ASK, completion=(Message(role="assistant", content=text),))


def dataset(rows: list[SftRow]) -> Any:
    import datasets

    return datasets.Dataset.from_list([one.model_dump(mode="json") for one in rows])


def test_tokens_and_labels_are_those_of_trl_and_weights_average_to_one(tiny_model: Path) -> None:
    from transformers import AutoTokenizer

    from selftrain.weights import weigh_rows

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    one = row("B")
    (weighed,) = weigh_rows(dataset([one]), tokenizer, STYLE, 9)
    plain = one.model_dump(mode="json")
    whole = tokenizer.apply_chat_template(plain["prompt"] + plain["completion"], tokenize=True, return_dict=False)
    prompt = tokenizer.apply_chat_template(plain["prompt"], tokenize=True, return_dict=False, add_generation_prompt=True)
    assert weighed["input_ids"] == whole
    assert weighed["labels"] == [-100] * len(prompt) + whole[len(prompt) :]
    trained = [weight for weight in weighed["weights"] if weight]
    assert len(trained) == len(whole) - len(prompt)
    assert sum(trained) == pytest.approx(len(trained))
    heavy = [token for token, weight in zip(whole, weighed["weights"], strict=True) if weight > 1]
    assert "".join(tokenizer.decode(heavy).split()) == "failspassesB"
    assert max(trained) == pytest.approx(9 * min(trained))


def test_a_tokenizer_without_offsets_is_refused() -> None:
    from selftrain.weights import weigh_rows

    class Slow:
        is_fast = False

    with pytest.raises(UserError, match="fast tokenizer"):
        weigh_rows(dataset([row("A")]), Slow(), STYLE, 2)


def test_a_weight_below_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="decision_weight"):
        Config.model_validate(tiny_config(tmp_path, tmp_path, sft={"decision_weight": 0.5}))


def test_form_steps_without_a_weight_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="form_steps does nothing"):
        Config.model_validate(tiny_config(tmp_path, tmp_path, sft={"form_steps": 5}))


def first_loss(tmp_path: Path, model: Path, **sft: Any) -> float:
    settings = Config.model_validate(
        tiny_config(tmp_path, model, prompts="short", sft={"batch_size": 2, "micro_batch_size": 2, **sft})
    )
    rows, out = tmp_path / "sft.jsonl", tmp_path / json.dumps(sft)
    write_jsonl(rows, [row("A"), row("B")])
    train(settings, TrainJob(method="sft", rows=str(rows), start=str(model), out=str(out), max_steps=1))
    return float(json.loads((out / "log.jsonl").read_text().splitlines()[0])["loss"])


@pytest.mark.slow
def test_the_loss_is_the_weighted_mean_of_the_tokens_own(tiny_model: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from selftrain.weights import weigh_rows

    model, tokenizer = (
        AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32),
        AutoTokenizer.from_pretrained(tiny_model),
    )
    total = count = 0.0
    for one in weigh_rows(dataset([row("A"), row("B")]), tokenizer, STYLE, 50):
        ids, weights = torch.tensor([one["input_ids"]]), torch.tensor(one["weights"])[1:]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            log_probs = model(ids).logits[0, :-1].float().log_softmax(-1).gather(-1, ids[0, 1:, None])[:, 0]
        total -= float((weights * log_probs).sum())
        count += float((weights > 0).sum())
    assert first_loss(tmp_path, tiny_model, decision_weight=50) == pytest.approx(total / count, rel=1e-3)
    plain = first_loss(tmp_path, tiny_model)
    assert plain != pytest.approx(total / count, rel=1e-3), "this test could not fail"
    assert first_loss(tmp_path, tiny_model, decision_weight=50, form_steps=1) == pytest.approx(plain, rel=1e-3)
