"""Low-rank adapters: train a few weights, and leave an ordinary model.

While it trains, a candidate holds its adapter alone. At the stage's end each is merged, so that the next stage, vLLM and a stranger
open it like any other checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from selftrain.config import LoraConfig


def adapter(lora: LoraConfig | None) -> Any:
    """PEFT's configuration: adapters on every linear layer but the head, which TRL's losses multiply with directly."""
    if lora is None:
        return None
    import peft

    return peft.LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules="all-linear", task_type="CAUSAL_LM"
    )


def merge(folder: Path, base: str) -> None:
    """Add the adapter in `folder` to the model it was trained on, in place. Without one there is nothing to do.

    The sum is made in float32 and rounded once, to the type of the base on disk.
    """
    settings = folder / "adapter_config.json"
    if not settings.is_file():
        return
    from peft import PeftModel
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.integrations import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()  # under ZeRO-3 the model would be opened in parts, and wait for ranks that do not merge
    model = AutoModelForCausalLM.from_pretrained(base, dtype="float32")
    merged = PeftModel.from_pretrained(model, str(folder)).merge_and_unload()
    merged.to(AutoConfig.from_pretrained(base).dtype).save_pretrained(folder)
    # In this order: whoever is killed in between merges again or is done.
    settings.unlink()
    (folder / "adapter_model.safetensors").unlink()
