"""What would fail a run hours after its start is asked before its first token: the seed's files, its chat format, the trackers, files of
judgments, a compiler, and packages that nothing installs by itself."""

from __future__ import annotations

import os
from importlib.util import find_spec

from planner.compiler import cannot_compile
from planner.errors import UserError
from selftrain.config import Config
from selftrain.taught import opened


def check_trackers(config: Config) -> None:
    """Refuse an experiment tracker that the trainer does not know, or that is not installed.

    Raises:
        UserError: names it.
    """
    if not config.report_to:
        return
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in config.report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            raise UserError(f"report_to: no tracker {name!r}; choose from {', '.join(sorted(INTEGRATION_TO_CALLBACK))}")
        if name not in get_available_reporting_integrations():
            raise UserError(f"report_to: the tracker {name!r} is not installed: pip install it, or leave it out")


def check_packages(config: Config) -> None:
    """Refuse a way to train whose package is not installed.

    Raises:
        UserError: names it.
    """
    needs = (("liger", config.liger, "liger-kernel"), ("attention", config.attention == "flash_attention_2", "flash-attn"))
    for key, asked, package in needs:
        if asked and find_spec({"liger-kernel": "liger_kernel", "flash-attn": "flash_attn"}[package]) is None:
            raise UserError(f"{key} needs the package {package}, which is not installed: install it, or leave {key} at its default")


def check_compiler() -> None:
    """Refuse DeepSpeed on a CPU where its communication cannot be compiled; on GPUs it compiles nothing of what is used here.

    Raises:
        UserError: says what is missing.
    """
    if os.environ.get("ACCELERATE_USE_DEEPSPEED") != "true":
        return
    import torch

    if not torch.cuda.device_count() and (missing := cannot_compile()):
        raise UserError(
            f"DeepSpeed compiles its communication between ranks on a CPU, and {missing}: install it, or launch one process (processes=1, cpu-1.yaml)"
        )


def check_judged(config: Config) -> None:
    """Read the files of judgments that iterations train on, to their ends.

    Raises:
        UserError: a missing file or a bad row, named by place.
    """
    for iteration in config.iterations:
        if iteration.judged:
            for _ in opened(iteration.judged):
                pass
