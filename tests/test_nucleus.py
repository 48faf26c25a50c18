"""planner/engines/nucleus.py against vLLM's own top-p: the same tokens are kept, and drawn as often."""

from __future__ import annotations

from typing import Any

import pytest

from planner.engines.base import Request, Sampling
from planner.records import Message

pytestmark = pytest.mark.slow  # vLLM takes seconds to import


@pytest.mark.parametrize("top_p", [0.05, 0.5, 0.95, 0.999])
@pytest.mark.parametrize("top_k", [0, 1, 40, 1000])
@pytest.mark.parametrize("spread", [0.01, 1.0, 4.0], ids=["flat", "middling", "peaked"])
def test_what_vllm_keeps_is_kept(top_p: float, top_k: int, spread: float) -> None:
    import torch
    from vllm.v1.sample.ops.topk_topp_sampler import apply_top_k_top_p_pytorch

    from planner.engines.nucleus import keep_nucleus

    torch.manual_seed(0)
    logits = torch.randn(6, 5000) * spread
    k = torch.full((6,), top_k or 5000, dtype=torch.int32)
    theirs = apply_top_k_top_p_pytorch(logits.clone(), k, torch.full((6,), top_p))
    for row, want in zip(logits, theirs, strict=True):
        got = keep_nucleus(row, top_p, top_k)
        differ = got.isinf() != want.isinf()
        # Sums of thousands of float32 in another order may put the last token on either side of the line.
        assert differ.sum() <= 2
        assert row.softmax(0)[differ].sum() < 1e-4 or top_k
        both = ~got.isinf() & ~want.isinf()
        assert torch.equal(got[both], row[both])
        assert got.argmax() == row.argmax()


def test_draws_follow_the_cut_distribution(embedded_engine: Any) -> None:
    """800 first tokens at top_p 0.5 against their exact probabilities, by chi-squared."""
    from collections import Counter

    from scipy.stats import chisquare
    from vllm import SamplingParams

    chat = (Message(role="user", content="Name any animal. One word."),)
    ids = embedded_engine._ids(chat, "")
    (out,) = embedded_engine._llm.generate(
        [{"prompt_token_ids": ids}], SamplingParams(max_tokens=1, temperature=0, logprobs=20), use_tqdm=False
    )
    ranked = sorted(((found.logprob, token) for token, found in out.outputs[0].logprobs[0].items()), reverse=True)
    import math

    exact: dict[int, float] = {}
    for logp, token in ranked:
        if sum(exact.values()) >= 0.5:
            break
        exact[token] = math.exp(logp)
    assert 2 <= len(exact) < 20, "the prompt was chosen to leave a choice"
    asked = [Request(f"d{i}", chat, "", 8, 1, (), Sampling(1.0, 0.5, 0)) for i in range(100)]
    texts = Counter(one.text for _, drawn in embedded_engine.sample(asked) for one in drawn)
    names = {
        embedded_engine._tokenizer.decode([token], skip_special_tokens=True): p / sum(exact.values()) for token, p in exact.items()
    }
    assert texts.keys() <= names.keys(), "nothing outside the nucleus is drawn"
    seen = [texts[name] for name in names]
    assert chisquare(seen, [800 * p for p in names.values()]).pvalue > 1e-4
