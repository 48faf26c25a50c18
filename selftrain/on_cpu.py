"""What makes training on a CPU fast, and nowhere else matters: `bench/train.py` has the figures.

- The head: only tokens that are trained on go through it. TRL's fused head skips the tokens of the prompt on devices with Triton and
  projects all of them elsewhere, and its backward pass multiplies in float32, which costs four times bfloat16 here. On a CPU logits
  fit in memory, so they are computed plainly, for the answer alone: the same loss.
- The memory: what a step frees stays with the process for the next one. Otherwise every large tensor is fetched from the kernel
  anew, page by page.
- The attention: plain matrix products where sequences are short, as a small judge's are. PyTorch's fused attention is made for long
  ones; on these its backward pass takes longer than the products.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

_SHORT = 512
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_LOGIT_RULES = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier")


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for this process's next tensors; it then holds its peak until it ends. Elsewhere nothing changes."""
    if hasattr(library := ctypes.CDLL(None), "mallopt"):
        # <malloc.h>: nothing straight from the kernel, nothing back to it, and grow in steps of 256 MiB.
        for option, value in ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 256 * 2**20)):
            library.mallopt(option, value)


def attention(longest: int) -> str:
    """What transformers calls the attention for sequences of at most so many tokens.

    Plain products keep tokens² numbers a head for the backward pass, so that they are for short sequences alone.
    """
    return "eager" if longest <= _SHORT else "sdpa"


def use_answers_only_head() -> None:
    """Have TRL's trainers put this head on the models they make in this process."""
    # Not on a finished trainer: DPO computes the reference's log-probabilities while it is made.
    from trl.trainer import dpo_trainer, grpo_trainer, sft_trainer

    for module in (sft_trainer, dpo_trainer, grpo_trainer):
        module.add_fused_lm_head = add_answers_only_head


def add_answers_only_head(
    model: Any, temperature: float = 1.0, cast_lm_head_to_fp32: bool = False, outputs: tuple[str, ...] = ("log_probs",)
) -> None:
    """What TRL's `add_fused_lm_head` does, for the same calls; `outputs` says what TRL will read and is all computed anyway.

    A model that does more with its logits than project them (Gemma's soft cap, Granite's scale) gets TRL's head, which knows how.
    """
    import torch
    from trl.trainer.utils import FusedCausalLMOutput, add_fused_lm_head

    special = any(getattr(model.config, rule, None) not in (None, 1.0) for rule in _LOGIT_RULES)
    if special or cast_lm_head_to_fp32 or "log_sum_sq_probs" in outputs:
        add_fused_lm_head(model, temperature, cast_lm_head_to_fp32, outputs)
        return
    plain = model.forward

    @functools.wraps(plain)  # `generate` holds its arguments against the signature
    def forward(*args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return plain(*args, labels=labels, **kwargs)
        hidden = model.base_model(*args, **kwargs).last_hidden_state[:, :-1]  # (rows, tokens - 1, width)
        labels = labels[:, 1:]
        mask = labels != -100
        wanted = labels[mask]  # (answer tokens,)
        logits = model.get_output_embeddings()(hidden[mask]).float()  # (answer tokens, vocabulary)
        if temperature != 1.0:
            logits = logits / temperature
        logps = logits.log_softmax(-1)

        def spread(values: Any) -> Any:
            """Back to (rows, tokens - 1), zero on the prompt."""
            return values.new_zeros(mask.shape).masked_scatter(mask, values)

        with torch.no_grad():  # these only feed TRL's metrics
            entropy = -torch.linalg.vecdot(logps.exp(), logps)
            is_top1 = logits.argmax(-1) == wanted
            mean_logits = logits.mean(-1)
        return FusedCausalLMOutput(
            log_probs=spread(logps.gather(-1, wanted[:, None])[:, 0]),
            entropy=spread(entropy),
            is_top1=spread(is_top1),
            mean_logits=spread(mean_logits),
            label_mask=mask,
        )

    model.forward = forward
