"""What a model costs on a machine, by arithmetic: parameters, bytes on a device, seconds for so many tokens.

Speeds of the CPU are those of one core of an AMD EPYC with AVX-512 bfloat16, fitted to the stages of one long run (docs/scale.md); further
cores count less, which is assumed. Speeds of the GPUs are assumptions, of the size that vLLM and well-tuned training reach in public
reports, and every forecast says so.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from planner.errors import UserError
from selftrain.config import HardwareName

GB = 1e9


class Hardware(NamedTuple):
    """What one process runs on."""

    memory_gb: float
    decode: float
    """Generated tokens a second times parameters, at a full batch."""
    prefill: float
    """FLOP/s on prompts."""
    train: float
    """FLOP/s of forward and backward passes, per process."""
    engine_start_s: float
    child_start_s: float
    """From starting a training child to its first step, without reading the model."""
    read_gb_s: float
    """Reading a checkpoint."""
    measured: bool


HARDWARE: dict[HardwareName, Hardware] = {
    "cpu": Hardware(24, 90e9, 0.36e12, 0.195e12, 25, 20, 1.0, True),  # of one core
    "a100": Hardware(80, 45e12, 150e12, 130e12, 90, 60, 2.0, False),
    "h100": Hardware(80, 90e12, 400e12, 380e12, 90, 60, 2.0, False),
}


def cores_of_one(processes: int) -> int:
    """Cores of each of so many processes on one machine: they share those that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // processes)


def hardware_of(name: HardwareName, processes: int = 1) -> Hardware:
    """What each of so many processes on one machine has: a GPU, or its share of the cores."""
    found = HARDWARE[name]
    power = 1 + 0.8 * (cores_of_one(processes) - 1) if name == "cpu" else 1
    return found._replace(decode=found.decode * power, prefill=found.prefill * power, train=found.train * power)


class Shape(NamedTuple):
    """A dense decoder's sizes."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head_width: int
    vocabulary: int
    tied: bool

    @property
    def parameters(self) -> float:
        return self.body + self.vocabulary * self.width * (1 if self.tied else 2)

    @property
    def body(self) -> float:
        """Parameters of the layers, which every token goes through."""
        attention = self.width * self.head_width * (2 * self.heads + 2 * self.kv_heads)
        return float(self.layers * (attention + 3 * self.width * self.inner))

    @property
    def linears(self) -> list[tuple[int, int]]:
        """(in, out) of the linear layers of one block: what adapters are put on."""
        q, kv = self.heads * self.head_width, self.kv_heads * self.head_width
        return [(self.width, q), (self.width, kv), (self.width, kv), (q, self.width),
                (self.width, self.inner), (self.width, self.inner), (self.inner, self.width)]  # fmt: skip

    @property
    def kv_bytes(self) -> int:
        """Bytes of keys and values a token, in bfloat16."""
        return 2 * self.layers * self.kv_heads * self.head_width * 2


_LLAMA_70B = Shape(80, 8192, 28672, 64, 8, 128, 128256, False)
KNOWN = {
    "meta-llama/Llama-3.1-8B-Instruct": Shape(32, 4096, 14336, 32, 8, 128, 128256, False),
    "meta-llama/Llama-3.1-70B-Instruct": _LLAMA_70B,
    "meta-llama/Llama-3.3-70B-Instruct": _LLAMA_70B,
}
"""Hub models of the shipped recipes, so that a forecast needs no network."""


def shape_of(model: str) -> Shape:
    """Sizes of a model: what `resolve_model` gave for it.

    Raises:
        UserError: a hub model whose sizes are not known here, or a folder that is no dense decoder.
    """
    if model in KNOWN:
        return KNOWN[model]
    path = Path(model) / "config.json"
    if not path.is_file():
        raise UserError(f"the sizes of {model} are known only from its files: give a local folder, or one of {', '.join(KNOWN)}")
    found = json.loads(path.read_text())
    if experts := {"num_local_experts", "num_experts", "n_routed_experts"} & found.keys():
        raise UserError(f"{path} has {', '.join(sorted(experts))}: the arithmetic is for dense decoders")
    try:
        heads, width = found["num_attention_heads"], found["hidden_size"]
        return Shape(
            found["num_hidden_layers"], width, found["intermediate_size"], heads, found.get("num_key_value_heads") or heads,
            found.get("head_dim") or width // heads, found["vocab_size"], found.get("tie_word_embeddings", True),
        )  # fmt: skip
    except KeyError as error:
        raise UserError(f"{path} has no {error.args[0]}: the arithmetic is for dense decoders") from None


def trained_parameters(shape: Shape, lora_rank: int | None) -> float:
    """All of them, or those of adapters on every linear layer."""
    return shape.parameters if lora_rank is None else float(shape.layers * lora_rank * sum(i + o for i, o in shape.linears))


def training_gb(shape: Shape, *, tokens: int, checkpointed: bool, zero: int, ranks: int, lora_rank: int | None) -> float:
    """Bytes on one device while training, in GB.

    Args:
        tokens: of one forward pass, both sides of a DPO row.
        zero: ZeRO stage of the launch; 0: none. Under ZeRO weights and gradients are bfloat16, with float32 masters and two moments (16
            bytes a trained weight, of which the stage says what is cut by rank); without it all are float32 (16 as well, whole).
    """
    n = shape.parameters
    trained = trained_parameters(shape, lora_rank)
    frozen = 0.0 if lora_rank is None else 2 * n
    cut = max(1, ranks)
    states = {
        0: 16 * trained + frozen,
        1: 4 * trained + 12 * trained / cut + frozen,
        2: 2 * trained + 14 * trained / cut + frozen,
        3: (16 * trained + frozen) / cut,
    }[zero]
    layer = 34 * tokens * shape.width  # what one block keeps for its backward pass, with fused attention
    kept = shape.layers * 2 * tokens * shape.width + layer if checkpointed else shape.layers * layer
    gathered = 2 * n / shape.layers * 2 if zero == 3 else 0  # a block and the next, whole
    logits = 2 * min(tokens, 4096) * min(shape.vocabulary, 32768) * 4  # TRL projects in tiles of this size
    return (states + kept + gathered + logits) / GB


def resume_gb(shape: Shape, *, zero: int, lora_rank: int | None) -> float:
    """What one checkpoint holds beside its model so that training can go on from it, in GB.

    Two float32 moments a trained weight; DeepSpeed adds the float32 master, and up to stage 2 the weights once more.
    """
    return {0: 8, 1: 14, 2: 14, 3: 12}[zero] * trained_parameters(shape, lora_rank) / GB


def training_flops(shape: Shape, prompt: float, answer: float, *, checkpointed: bool, lora: bool, referenced: bool) -> float:
    """FLOPs of one row: `prompt` and `answer` tokens in all its sequences. Heads project answers alone."""
    forward = 2 * (shape.body * (prompt + answer) + shape.vocabulary * shape.width * answer)
    # Backward is two forwards: for inputs, and for weights, which a frozen base has none of. Checkpointing is one more; so is a reference.
    passes = 1 + (1 if lora else 2) + (1 if checkpointed else 0) + (1 if referenced else 0)
    return forward * passes


def sampling_gb(shape: Shape, memory_gb: float, utilisation: float, group: int) -> tuple[float, float]:
    """(weights, keys and values) on one device of an engine of `group`, in GB."""
    weights = 2 * shape.parameters / group / GB
    return weights, memory_gb * utilisation - weights


def sampling_seconds(shape: Shape, hardware: Hardware, *, read: float, written: float, engines: int, group: int) -> float:
    """Seconds to read so many prompt tokens (without those from the prefix cache) and write so many, engine start apart."""
    # A group of devices is not a device so many times as fast; tensor parallelism costs about a fifth.
    power = engines * (group * 0.8 if group > 1 else 1)
    return (written * shape.parameters / hardware.decode + read * 2 * shape.parameters / hardware.prefill) / power
