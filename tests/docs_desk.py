"""A folder in which a reader of the documentation could type its commands: every file that a page names, and engines that play a part.

What samples is scripted. Where a command's work begins (training, serving, judging a whole benchmark, drawing a report) it stops with `Reached`:
everything before that, the reading of options, configs, files and judges, is the real code. The work itself has its own tests.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import pytest

from planner.engines.base import Request
from planner.engines.scripted import ScriptedEngine, default_script
from planner.judge import JudgeCard, write_card
from planner.store import write_jsonl
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.pairs import jsonl
from tests.conftest import ROOT
from tests.eval_samples import SAMPLES
from tests.run_folder import make_run

JUDGES = [f"runs/demo/{name}" for name in ("M1_SFT", "M1_DPO", "M2_DPO")]
MODELS = ["models/PandaLM-7B", "models/JudgeLM-7B", "models/base", "models/tuned", "runs/policy"]
HUB = {"allenai/reward-bench": "filtered.jsonl", "allenai/reward-bench-2": "test.jsonl"}


class Reached(Exception):
    """A command has read all that it was given and would begin its work."""


def lay(desk: Path) -> Path:
    """Put everything there that the pages name."""
    make_run(desk, name="demo")
    for other in ("first", "mine", "mine-8b", "cpu", "ties"):
        (desk / "runs" / other).symlink_to("demo")
    for folder in (desk / name for name in JUDGES + MODELS):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"")
    for name in JUDGES:
        write_card(desk / name, JudgeCard(style=EvalPlannerStyle(prompt_set="short"), max_tokens=100))
    for name in ("configs", "bench", "tools", "selftrain", "rewards"):
        (desk / name).symlink_to(ROOT / name)

    _jsonl(desk / "pairs.jsonl", [{"instruction": f"Task {i}", "response_a": f"yes {i}", "response_b": "no"} for i in range(2)])
    pairs = [{"instruction": f"Task {i}", "chosen": f"yes {i}", "rejected": "no"} for i in range(40)]
    for name in ("FILE.jsonl", "fresh.jsonl", "fresh140.jsonl", "runs/votes.jsonl"):
        _jsonl(desk / name, pairs)
    theirs = [{"idx": i, "instruction": f"Task {i}", "input": "", "response1": f"yes {i}", "response2": "no"} for i in range(2)]
    (desk / "IN.json").write_text(json.dumps(theirs))
    samples = [{"question_id": i, "question_body": f"Task {i}", "answer1_body": f"yes {i}", "answer2_body": "no"} for i in range(2)]
    _jsonl(desk / "samples.jsonl", samples)
    _jsonl(desk / "answers.jsonl", [{"instruction": "Task", "responses": ["yes", "no", "maybe"]}])
    against = [{"instruction": f"Task {i}", "response": f"yes {i}", "reference": "yes"} for i in range(2)]
    for name in ("graded.jsonl", "pictures.jsonl"):
        _jsonl(desk / name, against)
    questions = [{"instruction": f"Task {i}"} for i in range(2)]
    _jsonl(desk / "questions.jsonl", questions)
    (desk / "questions.json").write_text(json.dumps(questions))
    for name in ("closed.json", "b.json"):
        (desk / name).write_text(json.dumps(["an answer", "another answer"]))
    shutil.copytree(desk / "models" / "base", desk / "a")
    _jsonl(desk / "examples.jsonl", [{"instruction": f"Task {i}", "response": f"yes {i}"} for i in range(8)])
    _jsonl(desk / "prompts.jsonl", [{"prompt": f"Name river {i}."} for i in range(4)])
    _jsonl(desk / "prompts" / "train.jsonl", [{"prompt": f"Name river {i}."} for i in range(4)])
    _jsonl(desk / "train.jsonl", [{"question": f"{i} + {i}?", "answer": f"#### {2 * i}"} for i in range(1, 9)])
    write_jsonl(desk / "data" / "math" / "train-1.jsonl", jsonl.read(desk / "FILE.jsonl"))
    (desk / "reward.toml").write_text('model = "runs/demo/M2_DPO"\n')
    _benchmarks(desk)
    return desk


def _benchmarks(desk: Path) -> None:
    places = {"judgebench": "judgebench", "rmbench": "rmbench", "llmbar": "Dataset/LLMBar", "mtbench": "Dataset/Processed"}
    for name, sample in SAMPLES.items():
        if name != "followbench":
            sample(desk / places.get(name, "."), 6)
    SAMPLES["followbench"](desk / "made", 6).rename(desk / "followbench.jsonl")
    row = {"instruction": "Name a river in capital letters.", "category": "format", "level": 1, "source": "E2E", "example_id": 1}
    (desk / "FollowBench" / "data").mkdir(parents=True)
    (desk / "FollowBench" / "data" / "format_constraints.json").write_text(json.dumps([{**row, "target": ""}]))
    said = [{"decision": word, "judgment": {"response": word}} for word in ("A>B", "B>A")]
    found = json.loads(next((desk / "judgebench").iterdir()).read_text().splitlines()[0])
    theirs = [json.loads(line) for line in (desk / "JudgeLM-100K" / "judgelm_val_5k.jsonl").read_text().splitlines()]
    _jsonl(desk / "JUDGMENTS.jsonl", [{**row, "pred_text": "8 6"} for row in theirs])
    exchanged = [
        {**row, "answer1_body": row["answer2_body"], "answer2_body": row["answer1_body"], "pred_text": "8 6"} for row in theirs
    ]
    _jsonl(desk / "REVERSED.jsonl", exchanged)
    _jsonl(desk / "OUTPUTS.jsonl", [{**found, "judge_name": "j", "judgments": said}])


def _jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


# -- engines -----------------------------------------------------------------------------------------------------------


def script(request: Request, draw: int) -> str:
    """An answer in the form that is asked for, whichever style asks."""
    asked = request.messages[-1].content
    if "### Response 1" in asked:
        return "1\n\n### Reason: it is longer\n"
    if "Assistant 1" in asked and "Assistant A" not in asked:
        scores = [" 6"] if request.prefill else ["8", "6", "7"][: asked.count("[The Start of Assistant")]
        return f"{' '.join(scores)}\nThe first is better."
    if "Assistant A" in asked:
        return default_script(request._replace(letters=True), draw)
    return f"An answer {draw}."


def engine(*_: Any, **__: Any) -> ScriptedEngine:
    """In place of vLLM's engine, or a server's."""
    return ScriptedEngine(script, max_model_len=1_000_000)


def reach(*_: Any, **__: Any) -> Any:
    raise Reached


@contextlib.contextmanager
def played(desk: Path) -> Iterator[pytest.MonkeyPatch]:
    """Work at the desk, with scripted engines and no first step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        for name in ("WORLD_SIZE", "EVALPLANNER_REWARD", "EVALPLANNER_API_KEY", "EVALPLANNER_UI_PASSWORD"):
            patch.delenv(name, raising=False)
        patch.setattr("planner.engines.vllm.VllmEngine", engine)
        patch.setattr("planner.engines.server.ServerEngine", engine)
        patch.setattr("eval.judges._open_engine", lambda spec, *_: (engine(), spec))
        patch.setattr("compare.run.run_child", _respond)
        patch.setattr("selftrain.run.World", lambda config: None)
        for first_step in (
            "selftrain.run.Run", "rewards.serve.serve", "selftrain.distil.run.distil", "compare.sweep.sweep", "compare.run.judged",
            "selftrain.pairs.build.build", "selftrain.pairs.blind.blind", "eval.evaluate.evaluate",
        ):  # fmt: skip
            patch.setattr(first_step, reach)
        patch.setattr("ui.serve.serve", _serve_page)
        patch.setattr("ui.report.write_report", _report)
        patch.setattr("datasets.load_dataset", functools.partial(_load_dataset, datasets.load_dataset))
        yield patch


def _respond(kind: str, job: Any, file: Path) -> None:
    from compare.candidates import read_questions, respond

    assert kind == "respond"
    respond(engine(), read_questions(Path(job.questions)), Path(job.folder), job.respond)


def _serve_page(judges: list[str], *_: Any, host: str, port: int) -> None:
    from ui.serve import check_access

    check_access(host)
    assert judges
    raise Reached


def _report(run: Path) -> None:
    assert (run / "config.toml").is_file()
    raise Reached


def _load_dataset(real: Callable[..., Any], name: str, *args: Any, **options: Any) -> Any:
    """In place of the hub; files are read by `real`."""
    if name not in HUB:
        return real(name, *args, **options)
    return [json.loads(line) for line in Path(HUB[name]).read_text().splitlines()]
