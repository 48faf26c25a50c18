"""selftrain/dry_run.py: counts against the paper's, arithmetic against known sizes, and every launch that the documents name."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from planner.errors import UserError
from planner.judge import JudgeCard, write_card
from planner.models import EMBEDDED, resolve_model
from planner.styles.evalplanner import EvalPlannerStyle
from selftrain.config import load_config
from selftrain.dry_run import dry_run, read_launch
from selftrain.forecast import Forecast, Launch, Lengths, Stage, measure
from selftrain.hardware import GB, HARDWARE, KNOWN, Shape, shape_of, training_gb
from tests.conftest import ROOT
from tests.documents import every_command, launch

EIGHT, SEVENTY = KNOWN["meta-llama/Llama-3.1-8B-Instruct"], KNOWN["meta-llama/Llama-3.3-70B-Instruct"]
CLUSTER = [("8b", "gpu-8-zero3"), ("70b", "nodes-4-zero3"), ("8b-lora", "gpu-1"), ("j1", "gpu-8-zero3")]


def forecast(config: str, launch: str, *overrides: str) -> dict[str, Stage]:
    arguments = [str(ROOT / f"configs/{config}.toml"), str(ROOT / f"configs/accelerate/{launch}.yaml"), *overrides]
    return {one.name: one for one in dry_run(arguments)}


def test_known_sizes() -> None:
    assert EIGHT.parameters == pytest.approx(8.03e9, rel=0.002)
    assert SEVENTY.parameters == pytest.approx(70.55e9, rel=0.002)


def test_the_papers_counts_come_out(capsys: pytest.CaptureFixture[str]) -> None:
    """5,000 instructions, 5 plans, 8 executions: 25K plans and 200K executions (recipe, section 1.2)."""
    stages = forecast("8b", "gpu-8-zero3")
    drawn = stages["iter-1/sft/sample"]
    assert drawn.written == 25_000 * 300 + 200_000 * 500
    assert drawn.prompts == 5_000 + 2 * 5_000 * 5
    assert stages["iter-1/sft/train"].prompts <= 1000 * 32
    printed = " ".join(capsys.readouterr().out.split())
    assert "ASSUMED" in printed
    assert "pairs.jsonl is not here" in printed
    assert list(stages)[-1] == "eval"


def test_a_file_with_too_few_pairs_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"instruction": f"Ask {k}.", "chosen": "yes", "rejected": "no", "tie": k >= 90} for k in range(120)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *rows[:20]]))  # ties, and some rows twice
    arguments = [str(ROOT / "configs/8b-lora.toml"), f"pairs.path={path}"]
    dry_run(arguments)
    assert f"{path} gives 90 usable pairs, and it asks for 21,700." in capsys.readouterr().out
    fewer = ["iterations.0.pairs=40", "iterations.1.pairs=30", "pairs.validation=10", "pairs.held_out={known=10}"]
    dry_run([*arguments, *fewer])
    assert "refused" not in capsys.readouterr().out


@pytest.mark.parametrize(("config", "launch"), CLUSTER)
def test_shipped_recipes_fit_their_machines(config: str, launch: str) -> None:
    for one in forecast(config, launch).values():
        assert "DOES NOT FIT" not in one.memory, one
        assert one.seconds > 0


def test_grpo_samples_and_trains_in_one_stage() -> None:
    """J1: 16,200 pairs are 32,400 prompts, of which 63 whole batches of 512; 5 chains each."""
    stages = forecast("j1", "gpu-8-zero3")
    assert "iter-2/grpo/sample" not in stages
    drawn = stages["iter-2/grpo/train"]
    assert drawn.prompts == 63 * 512
    chain = drawn.written / (63 * 512 * 5)
    assert chain == 300 + 500 + 24
    assert drawn.trained == pytest.approx(63 * 512 * 5 * (drawn.read / drawn.prompts + chain))
    plain = forecast("j1", "gpu-8-zero3", "grpo.beta=0")["iter-2/grpo/train"]
    assert plain.seconds < drawn.seconds, "no reference"
    assert float(plain.memory.split()[0]) == pytest.approx(float(drawn.memory.split()[0]) - 2 * 8.03 / 8, abs=0.1)


def test_memory_is_cut_by_rank() -> None:
    whole = training_gb(SEVENTY, tokens=4096, checkpointed=True, zero=0, ranks=32, lora_rank=None)
    cut = training_gb(SEVENTY, tokens=4096, checkpointed=True, zero=3, ranks=32, lora_rank=None)
    assert whole > 16 * 70 > HARDWARE["h100"].memory_gb > cut > 16 * 70 / 32
    adapters = training_gb(EIGHT, tokens=4096, checkpointed=True, zero=0, ranks=1, lora_rank=64)
    assert 16 < adapters < 40
    assert training_gb(EIGHT, tokens=4096, checkpointed=False, zero=3, ranks=8, lora_rank=None) > training_gb(
        EIGHT, tokens=4096, checkpointed=True, zero=3, ranks=8, lora_rank=None
    )


@pytest.mark.parametrize(("zero", "gigabytes"), [(0, 16), (1, 4 + 12 / 8), (2, 2 + 14 / 8), (3, 16 / 8)])
def test_what_each_zero_stage_cuts(zero: int, gigabytes: float) -> None:
    """A billion trained weights on eight ranks: two bytes each of weights and gradients, twelve of master and moments."""
    cut = [training_gb(EIGHT, tokens=0, checkpointed=True, zero=zero, ranks=ranks, lora_rank=None) for ranks in (8, 10**9)]
    whole = {0: 16, 1: 4, 2: 2, 3: 0}[zero]
    assert cut[0] - cut[1] == pytest.approx((gigabytes - whole) * EIGHT.parameters / GB)


@pytest.mark.parametrize(("launch", "bytes_a_weight"), [("gpu-8-zero3", 12), ("zero2", 14)])
def test_disk_is_candidates_and_two_states_that_training_goes_on_from(launch: str, bytes_a_weight: int, tmp_path: Path) -> None:
    """SFT of `8b`: 563 steps, a bfloat16 candidate every 100; DeepSpeed's state holds masters and moments, up to ZeRO-2 also weights."""
    file = tmp_path / "zero2.yaml"
    file.write_text((ROOT / "configs/accelerate/gpu-8-zero3.yaml").read_text().replace("zero_stage: 3", "zero_stage: 2"))
    stages = dry_run(
        [str(ROOT / "configs/8b.toml"), str(file if launch == "zero2" else ROOT / f"configs/accelerate/{launch}.yaml")]
    )
    (sft,) = [one for one in stages if one.name == "iter-1/sft/train"]
    assert sft.disk_gb == pytest.approx((6 * 2 + 2 * bytes_a_weight) * EIGHT.parameters / GB)


def test_a_context_for_whose_cache_there_is_no_room_does_not_fit() -> None:
    assert "DOES NOT FIT" in forecast("8b", "gpu-8-zero3", "engine.max_model_len=1000000")["eval"].memory


def test_without_a_launch_file_it_says_what_it_counts(capsys: pytest.CaptureFixture[str]) -> None:
    dry_run([str(ROOT / "configs/8b.toml")])
    assert (
        "No launch file was named, so all 8 processes are counted on one machine and without DeepSpeed" in capsys.readouterr().out
    )
    dry_run([str(ROOT / "configs/8b.toml"), str(ROOT / "configs/accelerate/gpu-8-zero3.yaml")])
    assert "No launch file" not in capsys.readouterr().out


def test_a_seed_engine_is_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    forecast("8b", "gpu-8-zero3")
    assert "seed_engine" not in capsys.readouterr().out
    forecast("8b", "gpu-8-zero3", 'seed_engine={kind="server",url="http://a:8000/v1"}')
    assert "as if engine drew them, and not seed_engine, a server of unknown speed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not fit at the file"),
        ("[1]", "does not fit at the file"),
        ("a: [", "is no YAML"),
        ("num_machines: 1", "does not fit at num_processes"),
        ("num_processes: eight", "does not fit at num_processes"),
        ("num_processes: 8\nnum_machines: 0", "does not fit at num_machines"),
        ("num_processes: 8\nnum_machines: 3", "8 processes cannot be shared out to 3 machines"),
        ("num_processes: 8\ndistributed_type: FSDP", "does not fit at distributed_type"),
        ("num_processes: 8\ndistributed_type: DEEPSPEED", "go together"),
        (
            "num_processes: 8\ndistributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 4}",
            "does not fit at deepspeed_config.zero_stage",
        ),
        (
            "num_processes: 8\ndistributed_type: DEEPSPEED\ndeepspeed_config: {zero_stage: 3, offload_optimizer_device: cpu}",
            "does not fit at deepspeed_config.offload_optimizer_device",
        ),
    ],
)
def test_launch_files_that_cannot_be_counted_are_refused_in_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "launch.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_launch(str(path), load_config(ROOT / "configs/8b.toml"))
    assert "\n" not in str(error.value)


def test_a_plain_launch_may_hold_an_empty_deepspeed_section(tmp_path: Path) -> None:
    path = tmp_path / "launch.yaml"
    path.write_text("num_processes: 8\ndeepspeed_config: {}\ndistributed_type: MULTI_GPU")
    assert read_launch(str(path), load_config(ROOT / "configs/8b.toml")) == Launch(8, 1, 0)


def test_a_larger_run_takes_longer_and_more_machines_less() -> None:
    base = forecast("8b", "gpu-8-zero3")
    more = forecast("8b", "gpu-8-zero3", "sampling.plans=10")
    assert more["iter-1/sft/sample"].written == 2 * base["iter-1/sft/sample"].written
    config = load_config(ROOT / "configs/8b.toml")
    lengths = measure(config, [pair_of(50)], None)
    hours = [sum(one.seconds for one in Forecast(config, Launch(n, n // 8, 3), EIGHT, lengths).stages()) for n in (8, 32)]
    assert hours[0] / 4 < hours[1] < hours[0]


def test_a_judge_reads_its_prompts_whether_it_plans_or_not() -> None:
    planned, unplanned = (forecast("8b", "gpu-8-zero3", f"plan_kind={kind}") for kind in ("unconstrained", "none"))
    asked = 2 * 16_200 * planned["eval"].read / planned["eval"].prompts
    for stages, executions, plan in ((planned, 5, 300), (unplanned, 1, 0)):
        assert stages["iter-2/dpo/sample"].read == pytest.approx(asked + 2 * 16_200 * executions * (plan + 32))


def test_processes_on_a_cpu_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    config, lengths = load_config(ROOT / "configs/cpu.toml"), Lengths(50, 100, 80, 30, 18)
    shape = Shape(30, 576, 1536, 9, 3, 64, 49152, True)
    one, two = (sum(s.seconds for s in Forecast(config, Launch(n, 1, 0), shape, lengths).stages()) for n in (1, 2))
    assert 0.8 * one < two < one, "the second core counts a little less in one process than in one of its own"


def test_a_ray_cluster_samples_with_its_own_engines() -> None:
    four, eight = (
        forecast("8b", "gpu-8-zero3", "engine.kind=ray", f"engine.engines={n}")["iter-1/sft/sample"].seconds for n in (4, 8)
    )
    start = HARDWARE["h100"].engine_start_s
    assert four - start == pytest.approx(2 * (eight - start))


def test_a_mixture_of_experts_is_no_dense_decoder(tmp_path: Path) -> None:
    sizes = {"num_attention_heads": 8, "hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(sizes))
    assert shape_of(str(tmp_path)).layers == 2
    (tmp_path / "config.json").write_text(json.dumps(sizes | {"num_local_experts": 8}))
    with pytest.raises(UserError, match="has num_local_experts: the arithmetic is for dense decoders"):
        shape_of(str(tmp_path))


def pair_of(words: int) -> object:
    from planner.records import Pair

    return Pair(instruction="word " * words, response_a="a " * words, response_b="b " * words)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "takes a config"),
        (["configs/8b.toml", "configs/accelerate/gpu-1.yaml"], r"starts 1 process\(es\) but the config says processes = 8"),
        (["configs/8b.toml", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["configs/8b.toml", "model=some/other"], "sizes of some/other are known only from its files"),
        (["configs/8b.toml", "configs/accelerate/gpu-8-zero3.yaml", "engine.tensor_parallel=3"], "does not divide the 8 processes"),
        (["configs/8b.toml", "engine.tensor_parallel=3"], "does not divide the 8 processes"),
    ],
)
def test_what_the_run_would_refuse_is_refused(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match=said):
        dry_run(arguments)


@pytest.mark.slow  # opens the embedded model's tokenizer
def test_the_long_run_s_time_is_foretold_within_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    took = {one["stage"]: one["seconds"] for one in json.loads((ROOT / "docs/results/cpu.json").read_text())["stages"]}
    found = {name: one.seconds for name, one in forecast("cpu", "cpu-1").items()}
    assert found.keys() <= took.keys()
    assert sum(found.values()) == pytest.approx(sum(took[name] for name in found), rel=0.25)
    for name, seconds in found.items():
        assert f"| {name} | {seconds / 60:.1f} | {took[name] / 60:.1f} |" in (ROOT / "docs/scale.md").read_text()


@pytest.mark.slow  # opens the embedded model's tokenizer
def test_the_demo_s_time_is_foretold_within_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    monkeypatch.chdir(ROOT)
    took = json.loads((ROOT / "docs/results/demo-seed-1.json").read_text())["seconds"]
    found = sum(one.seconds for one in dry_run(["configs/demo.toml", "controls=[]", "pairs.held_out={known=210}"]))
    assert found == pytest.approx(took, rel=0.25)
    said = " ".join((ROOT / "docs/scale.md").read_text().split())
    assert f"forecast {found / 60:.1f} minutes, took {took / 60:.1f}" in said


def launches() -> list[tuple[str, list[str]]]:
    """(where, words after `accelerate launch`) of every launch command in the documents, and in the comments of configs."""
    found = [(one.page, one.words[2:]) for one in every_command() if one.words[:2] == ["accelerate", "launch"]]
    for path in (*sorted((ROOT / "configs").rglob("*.toml")), *sorted((ROOT / "configs").rglob("*.yaml"))):
        text = re.sub(r"\\\n(#\s*)?\s*", " ", path.read_text())
        commands = re.findall(r"accelerate launch (.*?selftrain/run\.py configs/.*)", text)
        found += [(path.name, shlex.split(command, comments=True)) for command in commands]
    return [(where, words) for where, words in found if "--config_file" in words]  # others are named in passing


def test_documents_name_launches() -> None:
    assert len(launches()) >= 15
    files = {Path(words[words.index("--config_file") + 1]).stem for _, words in launches()}
    assert files >= {"cpu-1", "cpu-2-zero2", "gpu-1", "gpu-8-zero3", "nodes-4-zero3"}


@pytest.mark.slow  # opens the embedded model's tokenizer
@pytest.mark.parametrize(("where", "words"), launches(), ids=[f"{where}-{i}" for i, (where, _) in enumerate(launches())])
def test_every_launch_in_the_documents_passes(
    where: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    for place in ("configs", "selftrain"):
        (tmp_path / place).symlink_to(ROOT / place)
    judged = {
        "question_body": "Name a river.",
        "answer1_body": "Loire",
        "answer2_body": "Etna",
        "text": "9 2\nEtna is a mountain.",
        "score": [9.0, 2.0],
    }
    (tmp_path / "judgelm_train_100k.jsonl").write_text(json.dumps(judged) + "\n")
    judge = tmp_path / "runs/cpu/M1_DPO"  # as the long run leaves it
    judge.mkdir(parents=True)
    for part in Path(resolve_model(EMBEDDED)).iterdir():
        (judge / part.name).symlink_to(part)
    write_card(judge, JudgeCard(style=EvalPlannerStyle(prompt_set="short"), max_tokens=112))
    monkeypatch.chdir(tmp_path)
    file, (config, *overrides) = launch(words, tmp_path)
    stages = dry_run([config, str(file), *overrides])
    assert stages, where
    assert not [one for one in stages if "DOES NOT FIT" in one.memory], where
