"""The whole method on one screen (paper, section 2.3). Order only; what a step does is in `steps.py`.

pairs → plans → executions in both orders → outcomes → SFT on right chains → DPO on right against wrong chains
      → fresh pairs, sampled by the trained judge itself → DPO → every checkpoint measured on held-out pairs

An iteration of GRPO has no chains beforehand: it draws and rewards its own while it trains (J1, arXiv 2505.10320).
"""

from __future__ import annotations

from selftrain.steps import Run


def loop(run: Run) -> None:
    run.make_pairs()
    judge = run.seed
    for iteration in run.iterations:  # each on pairs of its own
        chains = None
        for method in iteration.train:  # "sft", then "dpo"; or "grpo"
            if iteration.judged:
                rows = run.taught_rows(iteration)  # what another judge said; nothing is sampled
            elif method == "grpo":
                rows = run.prompts(iteration)
            else:
                if chains is None or (method == "dpo" and iteration.resample_before_dpo):
                    chains = run.sample(iteration, method, judge)  # plans → executions → outcomes
                rows = run.rows(iteration, method, chains)
            candidates = run.train(iteration, method, rows, start=judge)
            judge = run.select(iteration, method, candidates, parent=judge)
    run.controls()
    run.evaluate()
    run.summarize()
