"""selftrain/on_cpu.py: its head has the numbers and gradients of TRL's, its attention those of PyTorch's, and freed memory stays."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from selftrain.on_cpu import add_answers_only_head, attention

pytestmark = pytest.mark.slow  # TRL takes seconds to import


def tiny(**changes: Any) -> Any:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=97, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
                    num_key_value_heads=2, tie_word_embeddings=True, **changes)
    )  # fmt: skip


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_numbers_and_gradients_are_those_of_trl(temperature: float) -> None:
    import torch
    from trl.trainer.utils import add_fused_lm_head

    names = ("log_probs", "entropy", "mean_logits", "is_top1")
    torch.manual_seed(1)
    ids = torch.randint(0, 97, (3, 11))
    labels = ids.clone()
    labels[:, :6] = -100
    labels[1, 9:] = -100  # padding
    found = []
    for ours in (False, True):
        model = tiny()
        (add_answers_only_head if ours else add_fused_lm_head)(model, temperature=temperature, outputs=names)
        out = model(input_ids=ids, labels=labels, fused_lm_head=True)
        (-out.log_probs.sum()).backward()
        found.append((out, {name: weight.grad for name, weight in model.named_parameters()}))
    (theirs, their_grads), (mine, my_grads) = found
    for name in (*names, "label_mask"):
        torch.testing.assert_close(getattr(mine, name), getattr(theirs, name), rtol=1e-5, atol=1e-5)
    for name, grad in their_grads.items():
        torch.testing.assert_close(my_grads[name], grad, rtol=1e-4, atol=1e-5)


def test_the_prompt_does_not_go_through_the_head() -> None:
    import torch

    model = tiny()
    add_answers_only_head(model)
    shapes = []
    model.get_output_embeddings().register_forward_hook(lambda _module, given, _result: shapes.append(tuple(given[0].shape)))
    labels = torch.full((2, 50), -100)
    labels[:, -4:] = 5
    model(input_ids=torch.full((2, 50), 5), labels=labels, fused_lm_head=True)
    assert shapes == [(8, 32)]
    assert model(input_ids=torch.full((2, 50), 5)).logits.shape == (2, 50, 97), "generation is left alone"


def test_a_model_that_caps_its_logits_gets_the_head_that_knows_how() -> None:
    import torch

    ids = torch.arange(8)[None]
    found = []
    for cap in (None, 0.05):
        model = tiny()
        model.config.final_logit_softcapping = cap
        add_answers_only_head(model)
        found.append(model(input_ids=ids, labels=ids, fused_lm_head=True).entropy)
    assert found[1] is None, "TRL computes what it is asked for"
    assert found[0] is not None


def test_short_and_long_attention_agree() -> None:
    import torch

    assert (attention(512), attention(513)) == ("eager", "sdpa")
    ids = torch.arange(60).reshape(2, 30)
    mask = torch.ones_like(ids)
    mask[1, 20:] = 0
    short, long = (tiny(attn_implementation=attention(longest)) for longest in (512, 513))
    found = [model(input_ids=ids, attention_mask=mask).logits[mask.bool()] for model in (short, long)]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


KEPT = """
import resource, sys
from selftrain.on_cpu import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def pages():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
bytearray(64 * 2**20)
start = pages()
for _ in range(4):
    bytearray(64 * 2**20)
print(pages() - start)
"""


def test_what_a_step_frees_is_there_for_the_next() -> None:
    fetched = {
        way: int(subprocess.run([sys.executable, "-c", KEPT, way], capture_output=True, text=True, check=True).stdout)
        for way in ("kept", "as it is")
    }
    assert fetched["kept"] < 100 < 10_000 < fetched["as it is"]
