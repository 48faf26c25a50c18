"""top-p and top-k on a CPU without sorting the vocabulary, as a logits processor of vLLM.

vLLM's CPU sampler sorts all logits of every sequence for `top_p < 1`, and so halves its rate. Here the likeliest few hundred are
picked instead, which nearly always hold the nucleus; where they do not, that one row is sorted. What may be drawn, and how likely it is,
stays the same (`tests/test_nucleus.py` holds it against vLLM's own). It runs where vLLM's would: after the temperature.

Requests name their cuts in `SamplingParams.extra_args`, because vLLM would apply its own.
"""

from __future__ import annotations

from typing import Any

import torch
from vllm.v1.sample.logits_processor import AdapterLogitsProcessor

_HEAD = 256
"""Logits looked at first. Finding so many costs a fraction of a sort."""
_TOP_P, _TOP_K = "nucleus_top_p", "nucleus_top_k"


def cuts(top_p: float, top_k: int) -> dict[str, Any]:
    """Fields of `SamplingParams` that have this processor cut, and vLLM not."""
    if top_p >= 1:
        return {"top_p": 1.0, "top_k": top_k}  # vLLM's top-k alone sorts nothing
    return {"top_p": 1.0, "top_k": 0, "extra_args": {_TOP_P: top_p, _TOP_K: top_k}}


def keep_nucleus(logits: torch.Tensor, top_p: float, top_k: int) -> torch.Tensor:
    """All but the smallest set of likeliest tokens that together reach `top_p` becomes -inf; of the `top_k` likeliest, where that is not 0.

    Args:
        logits: (vocabulary,)
    """
    size = min(top_k or _HEAD, logits.numel())
    values, places = logits.topk(size)
    total = (values if top_k else logits).logsumexp(0)
    likelier = _sum_before(values, total)
    if not top_k and size < logits.numel() and likelier[-1] + (values[-1] - total).exp() < top_p:
        values, places = logits.sort(descending=True)
        likelier = _sum_before(values, total)
    kept = likelier < top_p
    return torch.full_like(logits, -torch.inf).scatter_(0, places[kept], values[kept])


def _sum_before(values: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """For each of these descending logits, the probability of all before it."""
    probabilities = (values - total).exp()
    return probabilities.cumsum(0) - probabilities


class NucleusProcessor(AdapterLogitsProcessor):  # type: ignore[misc]
    """Give it to `LLM(logits_processors=[…])`; it acts on requests that carry `cuts`."""

    def is_argmax_invariant(self) -> bool:
        return True

    def new_req_logits_processor(self, params: Any) -> Any:
        asked = params.extra_args or {}
        if _TOP_P not in asked:
            return None
        top_p, top_k = asked[_TOP_P], asked[_TOP_K]
        return lambda _written, logits: keep_nucleus(logits, top_p, top_k)
