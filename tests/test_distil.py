"""selftrain/distil/: what teachers said, swapped, filtered, read from and written to other people's files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from planner.engines.scripted import ScriptedEngine
from planner.errors import UserError
from planner.judge import Judge, read_card
from planner.lock import lock_run
from planner.records import Pair
from planner.store import write_jsonl, write_text
from planner.styles import STYLES
from selftrain.checkpoints import candidates
from selftrain.config import load_record
from selftrain.distil import Opinion, Taught, augment, consistent, swap_wording
from selftrain.distil.files import judgelm_results, pandalm_result, read, read_judgelm, read_pandalm
from selftrain.distil.rows import ChatRow, TextRow, rows
from selftrain.distil.run import DistilConfig
from tests.conftest import ROOT
from tests.test_compare import longer_wins

pytestmark = pytest.mark.waits

WORDS = (
    "Assistant 1",
    "assistants 1 and 2",
    "Response B's",
    "Answer A, B",
    "[[A]]",
    "1 of 2",
    "the first response",
    "The Second answer's",
    "the first and 2nd assistants",
    "the first letter",
    "the second.",
    "THE FIRST",
    "Assistant 12",
    "A bee",
    " is ",
    "\n",
)
texts = st.lists(st.sampled_from(WORDS), max_size=8).map("".join)
opinions = st.builds(
    Opinion, verdict=st.sampled_from(["A", "B", "tie", "none"]), reason=texts, scores=st.sampled_from([None, (8.0, 7.0)])
)
pairs = st.builds(Pair, instruction=texts, response_a=texts, response_b=texts)


def taught(verdict: str = "A", k: int = 0, **changes: Any) -> Taught:
    pair = Pair(instruction=f"Q{k}", response_a="one", response_b="two")
    return Taught(pair=pair, opinion=Opinion(verdict=verdict, reason="Assistant 1 is right."), **changes)  # type: ignore[arg-type]


# -- swapping ----------------------------------------------------------------------------------------------------------


@given(st.builds(Taught, pair=pairs, opinion=opinions, referenced=st.none() | opinions))
def test_swapping_twice_is_a_no_op(one: Taught) -> None:
    assert one.swapped().swapped() == one


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("Assistant 1 beats Assistant 2.", "Assistant 2 beats Assistant 1."),
        ("Assistants 1 and 2 agree; Assistant 1's tone", "Assistants 2 and 1 agree; Assistant 2's tone"),
        ("response A or Response B, [[A]]", "response B or Response A, [[B]]"),
        ("Assistant 12 has 1 point and A is a letter", "Assistant 12 has 1 point and A is a letter"),
        ("8 7 Answer 1/2", "8 7 Answer 2/1"),
        ("to answer a question, response b", "to answer a question, response b"),
        ("The first response beats the second response.", "The second response beats the first response."),
        ("The First answer's tone, the SECOND AI assistant", "The Second answer's tone, the FIRST AI assistant"),
        ("both the first and the 2nd assistants", "both the second and the 1st assistants"),
        ("The first response is better than the second.", "The second response is better than the first."),
        ("the second answer is short, while the first explains", "the first answer is short, while the second explains"),
        ("the first response, Response 2", "the second response, Response 1"),
        # Not of a response, or not known to be.
        ("the first person to answer, the second letter", "the first person to answer, the second letter"),
        ("the first is a river, the second is none", "the first is a river, the second is none"),
        (
            "the first response has the second word, the first-person view and the first analysis",
            "the second response has the second word, the first-person view and the first analysis",
        ),
    ],
)
def test_the_wording_inside_an_explanation_is_swapped(text: str, swapped: str) -> None:
    assert swap_wording(text) == swapped


def test_a_swap_takes_everything_along() -> None:
    opinion = Opinion(verdict="A", reason="Response 1 wins", scores=(9, 2), reference="own")
    one = Taught(
        pair=Pair(instruction="q", response_a="x", response_b="y"), opinion=opinion, given_reference="r", referenced=opinion
    )
    other = one.swapped()
    assert (other.pair.response_a, other.pair.response_b) == ("y", "x")
    assert other.opinion == other.referenced == Opinion(verdict="B", reason="Response 2 wins", scores=(2, 9), reference="own")


# -- filtering and augmenting ------------------------------------------------------------------------------------------


def test_invalid_and_contradicting_judgments_are_left_out() -> None:
    agrees = [taught("A", 1), taught("A", 1).swapped()]
    contradicts = [taught("A", 2), taught("B", 2).swapped()]
    counts: Counter[str] = Counter()
    kept = list(consistent([*agrees, *contradicts, taught("none", 3), taught("tie", 4)], counts))
    assert kept == [*agrees, taught("tie", 4)]
    assert counts == {"contradicts_itself": 2, "no_verdict": 1}


def test_ratios_are_kept_and_draws_repeat() -> None:
    many = [taught(k=k, given_reference="R", referenced=Opinion(verdict="B")) for k in range(2000)]
    counts: Counter[str] = Counter()
    made = list(augment(many, swap_ratio=0.5, reference_ratio=0.25, seed=1, counts=counts))
    assert counts["swapped"] == pytest.approx(1000, abs=100)
    assert counts["with_reference"] == pytest.approx(500, abs=80)
    assert sum(pair.reference == "R" for pair, _ in made) == counts["with_reference"]
    assert len({pair.id for pair, _ in made}) == 2000
    assert made == list(augment(many, swap_ratio=0.5, reference_ratio=0.25, seed=1, counts=Counter()))
    none = list(augment(many, swap_ratio=0, reference_ratio=0, seed=1, counts=Counter()))
    assert none == [(one.pair, one.opinion) for one in many], "references dropped"


# -- rows --------------------------------------------------------------------------------------------------------------


def row(style: str, keep: Any = "all", **opinion: Any) -> tuple[Any, Counter[str]]:
    counts: Counter[str] = Counter()
    said = Opinion(**{"verdict": "tie", "reason": "why", "reference": "own", "scores": (7, 7)} | opinion)
    return next(rows([(taught().pair, said)], STYLES[style], keep=keep, counts=counts), None), counts


def test_a_row_is_asked_and_answered_in_the_style_s_words() -> None:
    made, _ = row("pandalm")
    assert isinstance(made, TextRow)
    assert made.prompt.endswith("### Evaluation:\n")
    assert made.completion == "Tie\n\n### Reason: why\n\n### Reference: own\n"
    assert row("judgelm")[0].completion == "7 7\nwhy"
    made, _ = row("evalplanner")
    assert isinstance(made, ChatRow)
    assert made.completion[0].content.endswith("why\n[End of Plan Execution]\n[Final Verdict]\n[[C]]")


@pytest.mark.parametrize(
    ("keep", "completion"),
    [
        ("verdict_only", "Tie\n"),
        ("no_reason", "Tie\n\n### Reference: own\n"),
        ("no_reference", "Tie\n\n### Reason: why\n"),
    ],
)
def test_ablations(keep: str, completion: str) -> None:
    assert row("pandalm", keep)[0].completion == completion


def test_what_a_style_cannot_say_is_counted() -> None:
    for style, opinion in (("mtbench", {}), ("judgelm", {"scores": None}), ("pandalm", {"verdict": "none"})):
        made, counts = row(style, **opinion)
        assert made is None
        assert counts == {"not_in_this_style": 1}


# -- files -------------------------------------------------------------------------------------------------------------

PAIRS = [
    {"idx": 7, "instruction": "Q", "input": "on this", "response1": "x", "response2": "y", "annotator1": 1},
    {"idx": 8, "instruction": "P", "input": "", "response1": True, "response2": "z"},
]


def test_pandalm_files_come_in_and_go_out(tmp_path: Path) -> None:
    pairs, verdicts = tmp_path / "pairs.json", tmp_path / "verdicts.json"
    pairs.write_text(json.dumps(PAIRS))
    verdicts.write_text(
        json.dumps([{"idx": 8, "gpt_result": "garbage"}, {"idx": 7, "gpt_result": "Tie", "gpt_reason": "r", "gpt_reference": "f"}])
    )
    first, second = read_pandalm(pairs, verdicts)
    assert first.opinion == Opinion(verdict="tie", reason="r", reference="f")
    assert (first.pair.input, second.pair.input, second.pair.response_a) == ("on this", None, "True")
    assert second.opinion.verdict == "none", "garbage is no tie"
    judge = Judge(ScriptedEngine(longer_wins), STYLES["pandalm"], rule="strict", max_tokens=50)
    judgments = list(judge.compare_many([first.pair, second.pair]))
    made = [pandalm_result(idx, one) for idx, one in zip((7, 8), judgments, strict=True)]
    verdicts.write_text(json.dumps(made))
    assert made == [
        {"idx": 7, "pandalm_result": 0, "pandalm_reason": "<b>length</b>", "pandalm_reference": ""},
        {"idx": 8, "pandalm_result": 1, "pandalm_reason": "<b>length</b>", "pandalm_reference": ""},
    ]
    assert [one.opinion.verdict for one in read_pandalm(pairs, verdicts)] == ["tie", "A"]
    with pytest.raises(ValueError, match="no missing verdict"):
        pandalm_result(7, judgments[0].model_copy(update={"verdict": "none"}))


SAMPLE = {
    "question_id": 3, "text": "1 10\nAssistant 1's response is off.", "score": [1.0, 10.0], "question_body": "Q", "answer1_body": "x",
    "answer2_body": "y", "answer1_model_id": "m", "reference": {"model": "g", "text": "R"}, "text_w_reference": "2, 5\n\nCloser.",
}  # fmt: skip


def test_judgelm_files_come_in_and_go_out(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text(json.dumps(SAMPLE) + "\n" + json.dumps(SAMPLE | {"text": "no scores", "reference": {}}) + "\n")
    first, second = read_judgelm(path)
    assert first.opinion == Opinion(verdict="B", reason="Assistant 1's response is off.", scores=(1, 10))
    assert (first.given_reference, first.referenced) == ("R", Opinion(verdict="B", reason="Closer.", scores=(2, 5)))
    assert (second.opinion.verdict, second.referenced) == ("none", None)
    pair = Pair(instruction="Q", response_a="x", response_b="y", reference="R")
    rows = judged_rows(pair, "8 6.5\nAssistant 1 is right.")
    theirs = {
        "question_id": 3,
        "question_body": "Q",
        "pred_text": "8 6.5\nAssistant 1 is right.",
        "pred_model_id": "ours",
        "reference": "R",
    }
    assert rows == [
        theirs | {"answer1_body": "x", "answer2_body": "y"}, theirs | {"answer1_body": "y", "answer2_body": "x"},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(one.opinion.verdict, one.pair.response_a, one.given_reference) for one in read_judgelm(path)] == [
        ("A", "x", "R"), ("A", "y", "R"),
    ]  # fmt: skip


def judged_rows(pair: Pair, text: str, **judge: Any) -> list[dict[str, Any]]:
    (judgment,) = Judge(ScriptedEngine(lambda request, draw: text), STYLES["judgelm"], **judge).compare_many([pair])
    return list(judgelm_results(3, pair, judgment, "ours"))


@pytest.mark.parametrize(
    ("text", "tokens", "written"),
    [("Both are good.\n8 7", 50, "Both are good.\n8 7"), ("8 10 points", 2, ""), ("8, 7", 50, "8 7"), ("", 50, "")],
)
def test_what_a_judge_did_not_say_is_in_no_judgelm_file(tmp_path: Path, text: str, tokens: int, written: str) -> None:
    pair = Pair(instruction="Q", response_a="x", response_b="y")
    (row,) = judged_rows(pair, text, max_tokens=tokens, rule="first")
    assert row["pred_text"] == written
    (tmp_path / "p").write_text(json.dumps(row))
    (again,) = read_judgelm(tmp_path / "p")
    assert again.opinion.verdict == ("A" if written == "8 7" else "none")


def test_our_own_form_comes_back(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "t.jsonl", [taught(), taught("tie", 1)])
    assert list(read("taught", tmp_path / "t.jsonl")) == [taught(), taught("tie", 1)]


JUDGELM_ROW = '{"text": "1 2", "question_body": "q", "answer1_body": "x", "answer2_body": "y", "reference": %s}\n'


@pytest.mark.parametrize(
    ("form", "files", "message"),
    [
        ("pandalm", {"p": "[]"}, "file of verdicts"),
        ("pandalm", {"p": "{}", "v": "[]"}, "no JSON list"),
        ("pandalm", {"p": "[", "v": "[]"}, "is not JSON"),
        ("pandalm", {"p": json.dumps(PAIRS), "v": "[]"}, r"p\[0\]: .*no verdict on idx 7"),
        ("pandalm", {"p": json.dumps(PAIRS[:1]), "v": '[{"idx": 7, "pandalm_result": 3}]'}, "pandalm_result is 3"),
        ("pandalm", {"p": '[{"idx": 7}]', "v": '[{"idx": 7, "pandalm_result": 1}]'}, "response1 and response2"),
        ("pandalm", {"p": json.dumps(PAIRS[:1]), "v": '[{"idx": 7, "pandalm_result": [1]}]'}, r"pandalm_result is \[1\]"),
        (
            "pandalm",
            {"p": json.dumps(PAIRS[:1]), "v": '[{"idx": 7, "pandalm_result": 1, "pandalm_reference": 5}]'},
            "'pandalm_reference' is int",
        ),
        (
            "pandalm",
            {"p": json.dumps([PAIRS[0] | {"input": ["x"]}]), "v": '[{"idx": 7, "pandalm_result": 1}]'},
            r"p\[0\]: 'input' is list",
        ),
        (
            "pandalm",
            {"p": json.dumps(PAIRS[:1]), "v": '[{"idx": 7, "pandalm_result": 1}, {"idx": 7, "pandalm_result": 2}]'},
            r"v\[1\]: idx 7 has a verdict already, in .*v\[0\]",
        ),
        (
            "judgelm",
            {"p": JUDGELM_ROW.replace('"text"', '"text_w_reference": 5, "text"') % '{"text": "R"}'},
            r"p:1: 'text_w_reference' is int",
        ),
        ("judgelm", {"p": JUDGELM_ROW % '{"text": 5}'}, r"p:1: reference: 'text' is int"),
        ("judgelm", {"p": JUDGELM_ROW % "[1]"}, r"p:1: 'reference' is list"),
        ("judgelm", {"p": '{"question_body": "q"}\n'}, r"p:1 holds no judgment"),
        ("judgelm", {"p": '{"text": "1 2"}\n'}, r"p:1: 'question_body' is missing"),
        ("judgelm", {"p": '{"text": "1 2"'}, r"p:1 is not JSON"),
        ("judgelm", {}, r"p cannot be read \(No such file or directory\): set path to a JSONL file$"),
        ("taught", {"p": '{"pair": 1}\n'}, r"p:1 does not fit at pair .*\); put it right, or set path to another file$"),
        ("taught", {}, r"p is missing; put it right, or set path to another file$"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, form: Any, files: dict[str, str], message: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        list(read(form, tmp_path / "p", tmp_path / "v" if "v" in files else None))


def test_the_released_pandalm_files(data_folder: Path) -> None:
    folder = data_folder / "pandalm"
    found = list(read_pandalm(folder / "testset-v1.json", folder / "gpt-3.5-turbo-testset-v1.json"))
    assert Counter(one.opinion.verdict for one in found) == {"B": 476, "A": 460, "tie": 38, "none": 25}
    kept = list(consistent(found, counts := Counter()))
    assert len(kept) + counts.total() == 999
    assert counts["no_verdict"] == 25


# -- the run -----------------------------------------------------------------------------------------------------------


def test_every_shipped_distillation_parses() -> None:
    shipped = sorted((ROOT / "configs" / "distil").iterdir())
    assert {path.name for path in shipped} == {"judgelm.toml", "pandalm.toml"}
    for path in shipped:
        assert load_record(path, DistilConfig).style in STYLES


TOML = """
name = "taught"
out = "{tmp}"
model = "{model}"
form = "judgelm"
path = "{tmp}/samples.jsonl"
style = "{style}"
swap_ratio = 0.5
[sft]
learning_rate = 1e-3
epochs = 1
batch_size = 4
micro_batch_size = 4
warmup_steps = 0
save_every = 2
gradient_checkpointing = false
max_length = 700
"""


def made(tmp_path: Path, model: Path, style: str, text: str = "8 7\nwhy") -> Path:
    samples = [SAMPLE | {"question_body": f"Q{k}", "text": text} for k in range(12)]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in samples))
    (tmp_path / "c.toml").write_text(TOML.format(tmp=tmp_path, model=model, style=style))
    return tmp_path / "c.toml"


@pytest.mark.slow
@pytest.mark.parametrize("style", ["judgelm", "evalplanner-short"])
def test_a_distilled_judge_opens_by_its_card(tiny_model: Path, tmp_path: Path, style: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    result = CliRunner().invoke(app, ["distil", str(made(tmp_path, tiny_model, style))])
    assert result.exit_code == 0, result.output
    judge = tmp_path / "taught" / "judge"
    assert read_card(judge).style == STYLES[style]
    lines = [json.loads(line) for line in (tmp_path / "taught" / "rows.jsonl").read_text().splitlines()]
    assert len(lines) == 12
    assert all(isinstance(line["prompt"], str) == (style == "judgelm") for line in lines)
    assert json.loads((tmp_path / "taught" / "counts.json").read_text())["rows"] == 12
    before, after = (AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (tiny_model, judge))
    assert any(not torch.equal(before[name].float(), after[name].float()) for name in before)
    assert CliRunner().invoke(app, ["distil", str(tmp_path / "c.toml")]).exit_code == 0, "it is there already"


@pytest.mark.parametrize(
    ("style", "text", "message"),
    [("judgelm", "no scores", "not one row could be made of it (no verdict 12)"), ("judge", "8 7", "no style 'judge'")],
)
def test_a_distillation_without_rows_is_refused(tiny_model: Path, tmp_path: Path, style: str, text: str, message: str) -> None:
    result = CliRunner().invoke(app, ["distil", str(made(tmp_path, tiny_model, style, text))])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    (tmp_path / "c.toml").write_text("name = 1")
    result = CliRunner().invoke(app, ["distil", str(tmp_path / "c.toml")])
    assert (result.exit_code, "c.toml: " in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["sft.batch_size=3", "sft.micro_batch_size=2"],
            "sft.batch_size = 3 is no multiple of sft.micro_batch_size × processes = 2 × 1",
        ),
        (["processes=3"], "sft.batch_size = 4 is no multiple of sft.micro_batch_size × processes = 4 × 3"),
        (["sft.decision_weight=9"], "sft.decision_weight weighs the verdict of an evalplanner style, not of judgelm"),
        (
            ["processes=2", "sft.micro_batch_size=2"],
            "launched with 1 process(es) but the config says processes = 2: add processes=1",
        ),
    ],
)
def test_what_could_not_train_is_refused_before_a_row_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str], message: str
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)  # trainers of other tests leave it behind
    result = CliRunner().invoke(app, ["distil", str(made(tmp_path, tmp_path / "no-model", "judgelm")), *overrides])
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert not (tmp_path / "taught").exists()


def a_model(folder: Path) -> Path:
    write_text(folder / "config.json", "{}")
    write_text(folder / "model.safetensors", "x")
    return folder


def distil(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["distil", *arguments])
    return result.exit_code, result.output


class TrainedError(UserError):
    """Where the test below lets a distillation go no further."""


def test_a_finished_judge_is_not_taken_for_one_of_another_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    def trained(config: Any, job: Any) -> None:
        raise TrainedError("it trained")

    monkeypatch.setattr("selftrain.distil.run.train", trained)
    config, run = str(made(tmp_path, a_model(tmp_path / "model"), "judgelm", "no scores")), tmp_path / "taught"
    assert "not one row could be made" in distil(config)[1]
    made(tmp_path, tmp_path / "model", "judgelm")
    assert "it trained" in distil(config)[1], "a file that gave no row may be mended"
    assert "begun with another sft.learning_rate" in distil(config, "sft.learning_rate=1e-5")[1]
    (tmp_path / "samples.jsonl").rename(tmp_path / "aside")
    assert "it trained" in distil(config)[1], "the rows are made, and need the file no more"
    (tmp_path / "aside").rename(tmp_path / "samples.jsonl")
    write_text(run / "judge" / "config.json", "{}")
    write_text(run / "judge" / "judge.json", "{}")
    assert distil(config)[0] == 0
    for change, said in (("sft.learning_rate=1e-5", "sft.learning_rate"), ("seed=9", "seed"), ("model=other", "model")):
        assert f"begun with another {said} (was" in distil(config, change)[1]
    made(tmp_path, tmp_path / "model", "judgelm", "7 8\nwhy")
    assert "begun with another judgments (was" in distil(config)[1]
    (tmp_path / "samples.jsonl").unlink()
    (tmp_path / "model" / "model.safetensors").unlink()
    assert distil(config)[0] == 0, "what it was made from may go when it is made"


def test_a_training_of_another_size_starts_over_before_anybody_looks_at_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    found: list[list[str]] = []

    def trained(config: Any, job: Any) -> None:
        found.append([one.name for one in candidates(Path(job.out))])
        raise TrainedError("it trained")

    monkeypatch.setattr("selftrain.distil.run.train", trained)
    config, out = str(made(tmp_path, a_model(tmp_path / "model"), "judgelm")), tmp_path / "taught" / "train"
    for layout in ("whole", "zero-3 on 8"):
        write_text(out / "checkpoint-2" / "trainer_state.json", "{}")
        write_text(out / "layout.txt", layout)
        assert "it trained" in distil(config)[1]
    assert found == [["checkpoint-2"], []]


def test_a_distillation_that_is_going_on_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr("planner.lock._PATIENCE_S", 0.0)
    monkeypatch.setattr("selftrain.distil.run._write_rows", lambda *_: pytest.fail("it wrote rows"))
    a_model(tmp_path / "model")
    (tmp_path / "taught").mkdir()
    with lock_run(tmp_path / "taught"):
        result = CliRunner().invoke(app, ["distil", str(made(tmp_path, tmp_path / "model", "judgelm"))])
    assert (result.exit_code, "taught is in use by another process" in result.stderr) == (2, True), result.output
