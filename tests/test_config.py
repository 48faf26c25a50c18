"""selftrain/config.py: one TOML and its overrides become one frozen config, or one line that names the wrong key.

What nobody sets has the paper's value (arXiv 2501.18099, section 3.1 and Table 10). What a resumed run must share with its first
attempt is the recipe; how fast and where it runs is not part of it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from planner.errors import UserError
from selftrain.config import Config, DpoConfig, EngineConfig, SftConfig, load_config
from selftrain.config_file import as_toml
from selftrain.pairs import check_coverage
from selftrain.stamp import changed_field
from tests.conftest import ROOT

SHIPPED = sorted((ROOT / "configs").glob("*.toml"))  # those in its folders are other commands', parsed by their tests


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text('name = "run"\nseed = 7\n[[iterations]]\npairs = 4\ntrain = ["sft", "dpo"]\n[[iterations]]\npairs = 6\n')
    return path


def refused(path: Path, *overrides: str) -> str:
    """The one line that a bad config is refused with."""
    with pytest.raises(UserError) as raised:
        load_config(path, list(overrides))
    text = str(raised.value)
    assert "\n" not in text
    return text


# -- files -------------------------------------------------------------------------------------------------------------


def test_ranks_that_share_a_ray_cluster_share_it_for_the_seed_too() -> None:
    changes = ["processes=2", "sft.micro_batch_size=2", "dpo.micro_batch_size=2", "sft.batch_size=32", "dpo.batch_size=32"]
    demo = ROOT / "configs/demo.toml"
    for pair in (["ray", "vllm"], ["vllm", "ray"]):
        kinds = [f"engine.kind={pair[0]}", f'seed_engine={{kind="{pair[1]}"}}']
        with pytest.raises(UserError, match="both ray or both vllm where processes > 1"):
            load_config(demo, [*changes, *kinds])
        load_config(demo, kinds)
    load_config(demo, [*changes, "engine.kind=ray", 'seed_engine={kind="ray"}'])


def test_there_are_shipped_configs() -> None:
    assert SHIPPED, "configs/ holds no *.toml, so the test below tests nothing"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_config_parses_and_comes_back_from_the_copy_that_a_run_keeps(path: Path, tmp_path: Path) -> None:
    config = load_config(path)
    kept = tmp_path / "config.toml"
    kept.write_text(as_toml(config))
    assert load_config(kept) == config
    if config.pairs.source == "builtin":
        check_coverage(config)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "no.toml") == f"{tmp_path / 'no.toml'} does not exist; shipped configs are in configs/"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"name = ", "is not TOML: Invalid value"),
        (b'name = "a"\nname = "b"\n', "is not TOML: Cannot overwrite a value"),
        (b"[pairs\n", "is not TOML"),
        (b"a = " + b"[" * 5000, "is not TOML"),
        (b'name = "\xff"\n', "is not UTF-8: invalid start byte at byte 8; save it"),
    ],
)
def test_a_file_that_is_not_toml_is_named(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path} {what}")


def test_a_folder_is_no_config(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith(f"{tmp_path} cannot be read: Is a directory; give a TOML file")


# -- wrong keys and values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "what"),
    [
        ("sede=3", "unknown key sede"),
        ("sampling.plan=3", "unknown key sampling.plan"),
        ("iterations.1.pair=3", "unknown key iterations.1.pair"),
        ("engine.vllm.dtype=float32", "unknown key engine.vllm"),
        ("seed=-1", "seed: Input should be greater than or equal to 0"),
        ("seed=1.5", "seed: "),
        ("name='a/b'", "name: "),
        ("name=''", "name: "),
        ("name='..'", "name: "),
        ("sampling.plans=0", "sampling.plans: "),
        ("sampling.executions=7", "sampling.executions: Input should be a multiple of 2"),
        ("sampling.top_p=0", "sampling.top_p: "),
        ("sampling.top_p=1.1", "sampling.top_p: "),
        ("sft.learning_rate=0", "sft.learning_rate: "),
        ("dpo.beta=many", "dpo.beta: Input should be a valid number"),
        ("dpo.betas=[0.9]", "dpo.betas"),
        ("rows.max_unparsed_share=1.5", "rows.max_unparsed_share: "),
        ("rows.pairing=both", "rows.pairing: Input should be 'same_plan', 'cross_plan' or 'mixed'"),
        ("prompts=long", "prompts: "),
        ("controls=['coin']", "controls.0: "),
        ("iterations=[]", "config: iterations is empty"),
        ("iterations.1.train=[]", 'iterations.1: train is ["sft"]'),
        ("iterations.1.train=['dpo', 'sft']", 'iterations.1: train is ["sft"]'),
        ("iterations.1.resample_before_dpo=true", "iterations.1: resample_before_dpo needs"),
        ("iterations.0.train=['dpo']", 'config: the first iteration must train "sft"'),
        ("iterations.0.pairs=0", "iterations.0: pairs is missing or 0"),
        ("pairs.ties=0.3", "config: pairs.ties needs ties = true"),
        ("pairs={source='jsonl', path='x', ties=0.3}", "pairs: pairs.ties is for builtin pairs"),
        ("iterations.1.judged={form='taught', path='x'}", 'iterations.1: judged needs train = ["sft"] and no pairs'),
        (
            "iterations=[{train=['sft'], judged={form='taught', path='x'}}]",
            'config: an iteration on a judged file needs plan_kind = "none"',
        ),
        ("pairs.held_out.train=5", "pairs.held_out.train"),
        ("pairs.path=x.jsonl", "pairs: pairs.path is for sources that read a file"),
        ("pairs.source=jsonl", 'pairs: pairs.source = "jsonl" needs pairs.path'),
        ("pairs={source='jsonl', path='x', kinds=['keyword']}", "pairs: "),
        (
            "pairs={source='jsonl', path='x', held_out={unseen=3}}",
            'pairs: pairs.source = "jsonl" has only the split "known" and no kinds: set pairs.held_out = {known = …}',
        ),
        ("pairs={source='gsm8k_solutions', path='x', columns={chosen='y'}}", "pairs: pairs.columns is for"),
        (
            "pairs={source='jsonl', path='x', columns={better='y'}}",
            "pairs: pairs.columns is for names of columns; source 'jsonl' takes",
        ),
        ("engine.kind=server", "engine: engine.url belongs to"),
        ("engine.url=http://x/v1", "engine: engine.url belongs to"),
        ("engine={kind='server', url='http://x/v1'}", "config: a server cannot load the checkpoints"),
        ("seed_engine.kind=server", "seed_engine: engine.url belongs to"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_that_names_it(file: Path, override: str, what: str) -> None:
    assert refused(file, override).startswith(f"{file}: {what}")


def test_of_several_wrong_keys_the_others_are_counted(file: Path) -> None:
    assert refused(file, "a=1", "b=2", "seed=-1").endswith("(and 2 more)")


# -- overrides ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("seed=3", "seed", 3),
        ("seed = 3", "seed", 3),
        ("sampling.temperature=1", "sampling.temperature", 1.0),
        ("dpo.learning_rate=1e-7", "dpo.learning_rate", 1e-7),
        ("sampling.force_verdict=true", "sampling.force_verdict", True),
        ("model=org/name-8B", "model", "org/name-8B"),
        ("model='org/name'", "model", "org/name"),
        ("model = org/name ", "model", "org/name"),
        ('name="quoted"', "name", "quoted"),
        ("out=/tmp/some where", "out", "/tmp/some where"),
        ("out=a=b", "out", "a=b"),
        ("model=it's", "model", "it's"),
        ("dpo.betas=[0.8, 0.99]", "dpo.betas", (0.8, 0.99)),
        ("controls=['verdict_only']", "controls", ("verdict_only",)),
        ("pairs.held_out={known=9, wording=3}", "pairs.held_out", {"known": 9, "wording": 3}),
        ("pairs.held_out.unseen=3", "pairs.held_out", {"unseen": 3}),
        ("engine={kind='scripted'}", "engine", EngineConfig(kind="scripted")),
        ("seed_engine={kind='server', url='http://x/v1'}", "seed_engine", EngineConfig(kind="server", url="http://x/v1")),
        ("iterations.0.pairs=3", "iterations.0.pairs", 3),
        ("iterations.1.train=['sft']", "iterations.1.train", ("sft",)),
    ],
)
def test_an_override_sets_its_key_and_no_other(file: Path, override: str, key: str, value: Any) -> None:
    config = load_config(file, [override])
    found: Any = config
    for name in key.split("."):
        found = found[int(name)] if name.isdigit() else getattr(found, name)
    assert found == value
    assert type(found) is type(value)
    before, after = load_config(file).model_dump(mode="json"), config.model_dump(mode="json")
    top = key.partition(".")[0]
    assert {name for name in before if before[name] != after[name]} == {top}


def test_the_last_override_of_a_key_counts(file: Path) -> None:
    assert load_config(file, ["seed=3", "seed=4"]).seed == 4
    config = load_config(file, ["sampling={plans=2, executions=4}", "sampling.plans=3"])
    assert (config.sampling.plans, config.sampling.executions) == (3, 4)


@pytest.mark.parametrize(
    "override",
    [
        "seed",
        "",
        "=3",
        ".seed=3",
        "sampling.=3",
        "sampling..plans=3",
        "seed=",
        "seed= ",
        "dpo.betas=[1",
        "engine={kind",
        'name="run',
    ],
)
def test_what_is_no_override_is_quoted_back(file: Path, override: str) -> None:
    assert refused(file, override).startswith(f"override {override!r}")


@pytest.mark.parametrize("override", ["iterations.2.pairs=3", "iterations.x.pairs=3", "name.x.y=3", "seed.x=3", "iterations.0=3"])
def test_an_override_of_what_is_no_table_is_refused(file: Path, override: str) -> None:
    assert override in refused(file, override)


# -- defaults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value"),
    [
        # Section 3.1: how chains are drawn, from how many pairs, and in which rounds.
        ("sampling.plans", 5),
        ("sampling.executions", 8),
        ("sampling.temperature", 0.8),
        ("sampling.top_p", 0.95),
        ("iterations.0.pairs", 5000),
        ("iterations.0.train", ("sft", "dpo")),
        ("iterations.0.resample_before_dpo", False),
        ("iterations.1.pairs", 16700),
        ("iterations.1.train", ("dpo",)),
        ("pairs.validation", 300),
        ("judge_tokens", 2048),
        ("prompts", "paper"),
        ("plan_kind", "unconstrained"),
        # Section 2.2: right against wrong under one plan; nothing forced.
        ("rows.pairing", "same_plan"),
        ("rows.train_forced", False),
        ("sampling.force_verdict", False),
        # Table 10.
        ("seed", 2),
        ("sft.learning_rate", 1e-6),
        ("sft.betas", (0.9, 0.95)),
        ("sft.weight_decay", 0.1),
        ("sft.warmup_steps", 100),
        ("sft.epochs", 2.0),
        ("sft.max_steps", 1000),
        ("sft.save_every", 100),
        ("sft.max_length", 4096),
        ("sft.gradient_checkpointing", True),
        ("dpo.learning_rate", 5.5e-8),
        ("dpo.betas", (0.9, 0.95)),
        ("dpo.weight_decay", 0.1),
        ("dpo.warmup_steps", 0),
        ("dpo.epochs", 2.0),
        ("dpo.max_steps", 1000),
        ("dpo.save_every", 100),
        ("dpo.max_length", 4096),
        ("dpo.gradient_checkpointing", True),
        # Not in the paper: its closest relative's released recipe (Self-Taught Evaluators).
        ("dpo.beta", 0.1),
        ("dpo.sft_weight", 1.5),
        ("dpo.loss", "sigmoid"),
        ("dpo.schedule", "cosine"),
        ("dpo.max_grad_norm", 1.0),
    ],
)
def test_what_nobody_sets_has_the_paper_s_value(key: str, value: Any) -> None:
    found: Any = Config(name="x")
    for name in key.split("."):
        found = found[int(name)] if name.isdigit() else getattr(found, name)
    assert found == value


def test_defaults_are_stated_once() -> None:
    config = Config(name="x")
    assert len(config.iterations) == 2
    assert (config.sft, config.dpo) == (SftConfig(), DpoConfig())
    assert config.controls == ()


# -- recipes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        "processes=8", "out=elsewhere", "report_to=['tensorboard']", "engine.max_num_seqs=3", "engine.kv_cache_gb=1",
        "engine.gpu_memory_utilization=0.5", "engine.tensor_parallel=2", "engine.enforce_eager=true",
    ],
)  # fmt: skip
def test_speed_size_and_place_are_no_part_of_the_recipe(file: Path, override: str) -> None:
    assert load_config(file, [override]) != load_config(file)
    assert changed_field(load_config(file).recipe(), load_config(file, [override]).recipe()) is None


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seed=3", "seed (was 7, now 3)"),
        ("model=org/name", "model (was 'embedded', now 'org/name')"),
        ("sampling.temperature=1.0", "sampling.temperature (was 0.8, now 1.0)"),
        ("dpo.betas=[0.9, 0.99]", "dpo.betas (was [0.9, 0.95], now [0.9, 0.99])"),
        ("pairs.held_out={known=9}", "pairs.held_out.known (was 200, now 9)"),
        ("pairs.held_out={known=200, unseen=1}", "pairs.held_out.unseen (was None, now 1)"),
        ("engine.dtype=float32", "engine.dtype (was 'bfloat16', now 'float32')"),
        ("engine.kind=scripted", "engine.kind (was 'vllm', now 'scripted')"),
        ("prompts=short", "prompts (was 'paper', now 'short')"),
        ("rows.train_forced=true", "rows.train_forced (was False, now True)"),
    ],
)
def test_a_changed_recipe_is_told_by_its_field(file: Path, override: str, told: str) -> None:
    old, new = load_config(file).recipe(), load_config(file, [override]).recipe()
    assert changed_field(old, new) == told
    assert changed_field(new, old) is not None


def test_a_changed_iteration_is_told(file: Path) -> None:
    told = changed_field(load_config(file).recipe(), load_config(file, ["iterations.1.pairs=7"]).recipe())
    assert told is not None
    assert told.startswith("iterations.1.pairs (was ")


def test_every_key_is_either_recipe_or_known_to_be_none() -> None:
    """A key that is added later lands in the recipe unless someone decides otherwise."""
    config = Config(name="x")
    apart = {"out", "processes", "hardware", "report_to", "attention", "liger"}
    assert set(Config.model_fields) - set(config.recipe()) == apart | {"grpo"}, "grpo is where an iteration trains by it"
    assert set(config.recipe()["engine"]) == {"kind", "dtype", "max_model_len"}
    assert config.recipe()["seed_engine"] is None


def test_a_config_cannot_be_changed_and_knows_its_folder(file: Path) -> None:
    config = load_config(file, ["out=some"])
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]
    assert config.run_folder == Path("some/run")
    assert (config.style.prompt_set, config.style.plan_kind) == ("paper", "unconstrained")
    assert tomllib.loads(file.read_text())["seed"] == 7, "overrides must not touch the file"


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["sft.batch_size=6", "sft.micro_batch_size=4"],
            "sft.batch_size = 6 is no multiple of sft.micro_batch_size × processes = 4 × 1",
        ),
        (["dpo.batch_size=4", "processes=8"], "dpo.batch_size = 4 is no multiple of dpo.micro_batch_size × processes = 1 × 8"),
    ],
)
def test_a_batch_that_cannot_be_divided_is_refused_before_anything_is_sampled(file: Path, overrides: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        load_config(file, overrides)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("sft.learning_rate=inf", "sft.learning_rate"),
        ("sampling.temperature=nan", "sampling.temperature"),
        ("pairs.held_out={}", "pairs"),
        ("sampling.temperature=0", "sampling: .*temperature = 0 draws the same chain every time"),
        ("pairs.rows=9", "pairs: .*pairs.rows is for sources that read rows"),
    ],
)
def test_numbers_without_end_and_a_run_that_measures_nothing_are_refused(change: str, named: str) -> None:
    with pytest.raises(UserError, match=named):
        load_config("configs/demo.toml", [change])


def test_a_greedy_judge_draws_one_chain_an_order(file: Path) -> None:
    assert load_config(file, ["sampling.temperature=0", "sampling.plans=1", "sampling.executions=2"]).sampling.temperature == 0
    pairs = ['pairs={source="math", path="x.jsonl", temperature=0}', "pairs.kinds=[]"]
    with pytest.raises(UserError, match="a pair needs two that differ"):
        load_config(file, pairs)


def test_groups_are_not_whole_where_ties_are_balanced(file: Path) -> None:
    load_config(file, ["rows.whole_groups=true"])
    with pytest.raises(UserError, match="whole_groups does not go with ties = true"):
        load_config(file, ["rows.whole_groups=true", "ties=true"])


@pytest.mark.parametrize(("loss", "smoothing", "fine"), [("robust", 0.1, True), ("robust", 0.0, False), ("sigmoid", 0.1, False)])
def test_robust_dpo_and_its_share_of_wrong_labels_go_together(loss: str, smoothing: float, fine: bool) -> None:
    overrides = [f"dpo.loss={loss}", f"dpo.label_smoothing={smoothing}"]
    if fine:
        assert load_config(ROOT / "configs/cpu.toml", overrides).dpo.label_smoothing == smoothing
    else:
        with pytest.raises(UserError, match="go together"):
            load_config(ROOT / "configs/cpu.toml", overrides)


def test_any_seed_that_is_allowed_gives_an_engine_one_that_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from selftrain import stage

    seeds: list[int] = []

    def opened(settings: object, model: str, seed: int) -> object:
        seeds.append(seed)
        raise KeyboardInterrupt

    monkeypatch.setattr(stage, "open_engine", opened)
    for seed in (0, 4295, 20261128, 2**32 - 1):
        config = load_config(ROOT / "configs/demo.toml", [f"seed={seed}"])
        job = stage.SampleJob(folder=str(tmp_path), pairs="p", model="m", first=True, of_seed=True)
        with pytest.raises(KeyboardInterrupt):
            stage.run(stage.Job(task=job, config=config, rank=1, size=2, attempt="a", ledger=str(tmp_path / "l")))
    assert all(0 <= seed < 2**32 for seed in seeds), "numpy's limit, and vLLM seeds numpy"
    assert len(set(seeds)) == 4


def test_a_run_from_before_label_smoothing_goes_on() -> None:
    recipe = load_config(ROOT / "configs/cpu.toml").recipe()
    assert "label_smoothing" not in recipe["dpo"]
    robust = load_config(ROOT / "configs/cpu.toml", ["dpo.loss=robust", "dpo.label_smoothing=0.1"])
    assert changed_field(recipe, robust.recipe()), "but not as another recipe"
