"""lm-eval itself on a tiny model and a task of our own, without network; skipped where it is not installed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from compare.child import run_child
from compare.harness import ScoreJob, Scores, check_tasks, folder_digest
from planner.errors import UserError

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install -e '.[lm-eval]'")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LIMIT = 7


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """A folder with one task of ten questions, two answers each."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": f"Say {k} or {k + 3}.", "choices": [f"{k}", f"number {k + 3}"], "answer": k % 2} for k in range(10)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "say.yaml").write_text(f"""
task: say_numbers
dataset_path: json
dataset_kwargs:
  data_files: {folder}/rows.jsonl
test_split: train
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: answer
metric_list:
  - metric: acc
    aggregation: mean
    higher_is_better: true
""")
    return folder


def share_right(model: Path, tasks: Path) -> float:
    """The share of the first questions whose right answer is the likelier continuation, by our own reckoning."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, network = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model, dtype="auto")

    def log_likelihood(question: str, answer: str) -> float:
        before = len(tokenizer.encode(question))
        ids = torch.tensor([tokenizer.encode(f"{question} {answer}")])
        with torch.no_grad():
            log_p = network(ids).logits[0].float().log_softmax(-1)
        return sum(float(log_p[place - 1, ids[0, place]]) for place in range(before, ids.shape[1]))

    rows = [json.loads(line) for line in (tasks / "rows.jsonl").read_text().splitlines()][:LIMIT]
    found = [[log_likelihood(row["question"], answer) for answer in row["choices"]] for row in rows]
    return sum(row["answer"] == scores.index(max(scores)) for row, scores in zip(rows, found, strict=True)) / len(rows)


def test_a_checkpoint_is_scored_as_lm_eval_does(tiny_model: Path, tasks: Path, tmp_path: Path) -> None:
    check_tasks(["say_numbers"], str(tasks))
    job = ScoreJob(
        model=str(tiny_model), tasks=("say_numbers",), folder=str(tasks), folder_digest=folder_digest(str(tasks)), limit=LIMIT,
        batch_size=4, file=str(tmp_path / "scores.json"),
    )  # fmt: skip
    run_child("score", job, tmp_path / "job.json")
    (score,) = Scores.model_validate_json((tmp_path / "scores.json").read_text()).scores
    assert (score.task, score.metric, score.higher_is_better) == ("say_numbers", "acc", True)
    right = share_right(tiny_model, tasks)
    assert 0 < right < 1
    assert score.value == pytest.approx(right)
    assert score.stderr == pytest.approx(math.sqrt(right * (1 - right) / (LIMIT - 1)))


def test_what_cannot_be_asked_is_said_in_one_line(tasks: Path) -> None:
    with pytest.raises(UserError, match=r"lm-eval has no task sya_numbers; .* lists them"):
        check_tasks(["sya_numbers"], str(tasks))
    with pytest.raises(UserError, match=r"lm_eval_tasks = \S*/nowhere is no folder"):
        check_tasks(["say_numbers"], str(tasks / "nowhere"))
    (tasks / "rows.jsonl").unlink()
    with pytest.raises(UserError, match="lm-eval cannot load the task say_numbers: "):
        check_tasks(["say_numbers"], str(tasks))


def test_other_questions_are_another_digest(tasks: Path) -> None:
    before = folder_digest(str(tasks))
    assert folder_digest(str(tasks)) == before
    (tasks / "rows.jsonl").write_text("{}\n")
    assert folder_digest(str(tasks)) != before
