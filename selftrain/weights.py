"""SFT with more weight on the tokens by which a chain decides (`sft.decision_weight`; not in the paper, and off unless asked for).

A small judge's chain is mostly form and plan: of some seventy trained tokens, the first that says what the execution finds decides all
others. In a plain mean over tokens its gradient drowns in theirs. Weights average to one in each row, so losses stay comparable. The form has to be learnt
before the decision stands anywhere, so the first `sft.form_steps` weigh all tokens alike.

TRL does the rest: rows come to it as tokens and labels with a third column beside them, and its head's log-probabilities are
multiplied by that column before TRL sums them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from planner.errors import UserError
from planner.styles.evalplanner import EvalPlannerStyle


def weigh_rows(rows: Any, tokenizer: Any, style: EvalPlannerStyle, weight: float) -> Any:
    """Tokenise a dataset of prompt-completion rows as TRL would; columns `input_ids`, `labels` and `weights`, one entry a token.

    Raises:
        UserError: the tokenizer cannot say which characters a token stands for.
    """
    if not tokenizer.is_fast:
        raise UserError("sft.decision_weight needs a fast tokenizer (a tokenizer.json), and the model has none; leave it at 1")

    def weighed(row: dict[str, Any]) -> dict[str, list[Any]]:
        text = tokenizer.apply_chat_template([*row["prompt"], *row["completion"]], tokenize=False)
        answer = row["completion"][0]["content"].strip()
        at = text.rindex(answer)
        prompt = len(tokenizer.apply_chat_template(row["prompt"], tokenize=False, add_generation_prompt=True))
        spans = [(at + start, at + end) for start, end in style.deciding_spans(answer)]
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        trained = [end > prompt for _, end in offsets]
        raw = [
            float(is_trained) * (weight if any(start < to and end > since for since, to in spans) else 1.0)
            for is_trained, (start, end) in zip(trained, offsets, strict=True)
        ]
        mean = sum(raw) / sum(trained)
        return {
            "input_ids": ids,
            "labels": [token if is_trained else -100 for token, is_trained in zip(ids, trained, strict=True)],
            "weights": [one / mean for one in raw],
        }

    return rows.map(weighed, remove_columns=rows.column_names)


class WeightsCollator(DataCollatorForLanguageModeling):  # type: ignore[misc]
    """TRL's batch, with `weights` of the same shape as `labels`, zero where it is padded."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        import torch

        batch: dict[str, Any] = super().torch_call(examples)
        rows = [torch.tensor(one["weights"]) for one in examples]
        if self.padding_free:
            rows = [torch.cat(rows)]
        weights = torch.zeros(batch["labels"].shape)
        for padded, row in zip(weights, rows, strict=True):
            padded[: len(row)] = row
        return {**batch, "weights": weights}


def weigh_log_probs(model: Any, weighs: Callable[[], bool]) -> None:
    """Have the model multiply the log-probabilities that TRL asks for by the batch's `weights`, whenever `weighs()`."""
    plain = model.forward

    def forward(*args: Any, weights: Any = None, **kwargs: Any) -> Any:
        output = plain(*args, **kwargs)
        if weights is not None and weighs():
            output.log_probs = output.log_probs * weights[:, 1:]  # (rows, tokens - 1)
        return output

    model.forward = forward
