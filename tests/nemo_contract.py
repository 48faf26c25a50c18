"""The recorded contract of NeMo-RL 7ea279a: what our adapter imports of it, and how it makes an environment by its name."""

from __future__ import annotations

import sys
import types
from typing import Any, NamedTuple

import pytest

PYTHON = "/the/trainer/s/python"


class EnvironmentReturn(NamedTuple):
    observations: list[dict[str, str]]
    metadata: list[Any]
    next_stop_strings: list[Any]
    rewards: Any
    terminateds: Any
    answers: list[str | None] | None = None


class EnvironmentInterface:
    pass


class Actor:
    """What `ray.remote` makes of a class."""

    def __init__(self, cls: type, **options: Any) -> None:
        self.cls, self.asked = cls, options

    def options(self, **options: Any) -> Actor:
        return Actor(self.cls, **options)

    def remote(self, *arguments: Any) -> Any:
        return self.cls(*arguments)


def install(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Stand in for the packages `ray` and `nemo_rl`; returns the registry of environments, class by name."""
    environments: dict[str, str] = {}
    contract: dict[str, dict[str, Any]] = {
        "ray": {"remote": Actor},
        "nemo_rl.distributed.ray_actor_environment_registry": {"ACTOR_ENVIRONMENT_REGISTRY": {}},
        "nemo_rl.distributed.virtual_cluster": {"PY_EXECUTABLES": types.SimpleNamespace(SYSTEM=PYTHON)},
        "nemo_rl.environments.interfaces": {"EnvironmentReturn": EnvironmentReturn, "EnvironmentInterface": EnvironmentInterface},
        "nemo_rl.environments.utils": {"register_env": environments.__setitem__},
    }
    for name in ("nemo_rl", "nemo_rl.distributed", "nemo_rl.environments", *contract):
        module = types.ModuleType(name)
        module.__dict__.update(contract.get(name, {}))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "rewards.adapters.nemo", raising=False)
    return environments


def actor(path: str) -> Actor:
    """An environment's class, found and given its Python as `create_env` does."""
    import importlib

    module, _, name = path.rpartition(".")
    python = sys.modules["nemo_rl.distributed.ray_actor_environment_registry"].ACTOR_ENVIRONMENT_REGISTRY[path]
    found: Actor = getattr(importlib.import_module(module), name).options(runtime_env={"py_executable": python})
    return found
