"""`evalplanner ui`: the page, in gradio. Three tabs: judge a pair, look into chains, watch a run.

Text of models, data sets and visitors is shown in text boxes, or as HTML that `ui.chains` and `ui.live` have escaped; never as Markdown.
Each visitor's results live in that visitor's session; judging, which has one engine, and drawing take one visitor at a time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # nothing is told to anybody

import gradio as gr
from markupsafe import escape

from planner.engines.base import EngineError
from planner.errors import UserError
from planner.judge import Judge
from planner.models import ModelError
from planner.records import Judgment, Order, Pair
from planner.styles import STYLES
from prompts import PromptError
from ui import chains, live
from ui.desk import MOST, OWN, Desk, Seen, entrants, judge_in_parts, rank

CSS = """
.look .text { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; padding: .5rem .75rem; border: 1px solid var(--border-color-primary); border-radius: 4px; font-family: ui-monospace, monospace; font-size: .9rem; }
.look .two { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
.look mark { background: #ffe08a; color: #1c2330; padding: 0 .1em; }
figure img { max-width: 100%; background: #fff; }
@media (max-width: 800px) { .look .two { grid-template-columns: 1fr; } }
"""
THEME = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]).set(
    # Gradio's own are too pale to read.
    button_primary_background_fill="#1d4ed8", button_primary_background_fill_hover="#1e40af",
    button_primary_background_fill_dark="#1d4ed8", button_primary_background_fill_hover_dark="#1e40af",
    block_info_text_color="#5a6475", block_label_text_color="#3a4250", block_title_text_color="#3a4250",
    block_info_text_color_dark="#b8c0cc", block_label_text_color_dark="#d5dae2", block_title_text_color_dark="#d5dae2",
)  # fmt: skip
"""No font from elsewhere."""
_MENDABLE = (EngineError, ModelError, PromptError, UserError)
_SAYS = {"A": "response A is better", "B": "response B is better", "tie": "a tie", "none": "no verdict"}
_REFRESH_S = 10
USER = "evalplanner"


def page(desk: Desk, runs: Path) -> gr.Blocks:
    made: gr.Blocks
    with gr.Blocks(title="EvalPlanner", analytics_enabled=False) as made:
        gr.HTML("<h1>EvalPlanner</h1>")
        with gr.Tab("Judge"):
            _judge_tab(desk)
        with gr.Tab("Chains"):
            _chains_tab(runs)
        with gr.Tab("Run"):
            _run_tab(runs)
    return made


def launch(made: gr.Blocks, *, host: str, port: int, password: str | None) -> None:
    """Open the port and return. A visitor's name is `USER`.

    Raises:
        OSError: the port is taken.
    """
    made.queue(max_size=32).launch(
        server_name=host, server_port=port, auth=(USER, password) if password else None, share=False, quiet=True, footer_links=[],
        theme=THEME, css=CSS, ssr_mode=False, prevent_thread_lock=True,
    )  # fmt: skip


# -- judge -------------------------------------------------------------------------------------------------------------


def _judge_tab(desk: Desk) -> None:
    with gr.Row():
        model = gr.Dropdown(list(desk.judges), value=desk.judges[0], label="Judge")
        style = gr.Dropdown([OWN, *STYLES], value=OWN, label="Style", info="How it is asked. A judge made by a run knows its own.")
        limit = gr.Number(0, precision=0, minimum=0, label="Longest answer (tokens)", info="0: the judge's own.")
        force = gr.Checkbox(True, label="Read a verdict from the probabilities where the text names none (it is marked forced)")
    instruction = gr.Textbox(label="Instruction", lines=3)
    with gr.Row():
        response_a = gr.Textbox(label="Response A", lines=5, min_width=300)
        response_b = gr.Textbox(label="Response B", lines=5, min_width=300)
    with gr.Accordion("A reference, and more responses", open=False):
        reference = gr.Textbox(label="Reference answer", lines=2)
        more = [gr.Textbox(label=f"Response {chr(ord('A') + i)}", lines=2) for i in range(2, MOST)]
    with gr.Row():
        start = gr.Button("Judge", variant="primary")
        swap = gr.Button("Swap the responses")
    state = gr.Textbox(label="State", interactive=False)
    verdict = gr.Textbox(label="Verdict", interactive=False)
    plan = gr.Textbox(label="Plan (edit it, and execute what you wrote)", lines=4, interactive=True)
    again = gr.Button("Execute this plan")
    with gr.Row():
        executions = [
            gr.Textbox(label=label, lines=8, interactive=False, min_width=300)
            for label in ("Execution, as given", "Execution, swapped: here the judge calls response B its A")
        ]
    ranking = gr.Textbox(label="Ranking, where there are more than two responses", lines=2, interactive=False)
    with gr.Row():
        right, wrong = gr.Button("The verdict is right"), gr.Button("The verdict is wrong")
    judged = gr.State(None)

    asked = [model, style, limit, force, instruction, reference, response_a, response_b]
    told = [state, verdict, plan, *executions, ranking, judged]

    def settings(model: str, style: str, limit: float | None, force: bool) -> Judge:
        return desk.judge(model, style, max_tokens=int(limit or 0) or None, force=force)

    def compare(own_plan: str | None, *texts: Any) -> Iterator[tuple[Any, ...]]:
        model, style, limit, force, *written = texts
        # A box that was never touched holds None.
        instruction, reference, *responses = (text or "" for text in written)
        yield ("opening the judge …", "", own_plan or "", "", "", "", None)
        try:
            given = entrants(instruction, responses, own_plan)
            judge = settings(model, style, limit, force)
            if len(given) > 2:
                yield _ranked(judge, instruction, given, reference or None)
                return
            pair = Pair(instruction=instruction, response_a=responses[0], response_b=responses[1], reference=reference or None)
            for seen in judge_in_parts(judge, pair, own_plan):
                yield _told(seen, pair, own_plan)
        except _MENDABLE as error:
            yield (f"error: {error}", "", own_plan or "", "", "", "", None)

    def fresh(*texts: Any) -> Iterator[tuple[Any, ...]]:
        yield from compare(None, *texts)

    def planned(plan: str, *texts: Any) -> Iterator[tuple[Any, ...]]:
        yield from compare(plan, *texts)

    def vote(judged: tuple[Pair, Judgment] | None, right: bool) -> tuple[str, tuple[Pair, Judgment] | None]:
        if judged is None:
            return "nothing is judged since your last vote, so there is nothing to vote on", None
        try:
            better = desk.vote(*judged, right=right)
        except UserError as error:
            return f"error: {error}", judged
        # One vote a judgment: a second click is no second label.
        return f"kept in {desk.votes}: response {better} is better", None

    # One engine, so one visitor at a time.
    alone: dict[str, Any] = {"concurrency_id": "engine", "concurrency_limit": 1, "api_visibility": "private"}
    start.click(fresh, [*asked, *more], told, **alone)
    again.click(planned, [plan, *asked], told, **alone)
    swap.click(lambda a, b: (b, a), [response_a, response_b], [response_a, response_b], api_visibility="private")
    right.click(
        lambda one: vote(one, True), judged, [state, judged], concurrency_limit=1, concurrency_id="votes", api_visibility="private"
    )
    wrong.click(
        lambda one: vote(one, False), judged, [state, judged], concurrency_limit=1, concurrency_id="votes", api_visibility="private"
    )


def _told(seen: Seen, pair: Pair, own_plan: str | None) -> tuple[Any, ...]:
    """What the page's boxes show of a comparison so far."""
    orders: tuple[Order, Order] = ("ab", "ba")
    texts = []
    for order in orders:
        chain = seen.chains.get(order)
        plan = f"Plan\n{seen.plans[order]}\n\n" if order == "ba" and order in seen.plans and own_plan is None else ""
        stated = "" if chain is None or chain.p_a is None else f", P(A) {chain.p_a:.2f}"
        marks = "" if chain is None else (", forced" if chain.forced else "") + (", cut off" if chain.cut_off else "")
        texts.append(plan + (f"{chain.execution or '(nothing)'}\n\n→ it said {chain.verdict}{stated}{marks}" if chain else "…"))
    plan = own_plan if own_plan is not None else seen.plans.get("ab", "")
    spent = f"{seen.tokens:,} tokens, {seen.seconds:.1f} s"
    if seen.judgment is None:
        return (f"judging … {spent}", "", plan, *texts, "", None)
    one = seen.judgment
    p_a = "unknown" if one.p_a is None else f"{one.p_a:.2f}"
    agreement = "both orders agree" if one.consistent else "the orders disagree"
    verdict = f"{_SAYS[one.verdict]} · P(A) {p_a} · {agreement} · {spent}"
    return ("done", verdict, plan, *texts, "", (pair, one))


def _ranked(judge: Judge, instruction: str, responses: dict[str, str], reference: str | None) -> tuple[Any, ...]:
    """What the page's boxes show of more than two responses, by their letters."""
    found = rank(judge, instruction, list(responses.values()), reference)
    worth = dict(zip(responses, found.rewards, strict=True))
    # Without a reward: last.
    best = sorted(worth.items(), key=lambda one: -1.0 if one[1] is None else one[1], reverse=True)
    lines = []
    for place, (letter, reward) in enumerate(best, 1):
        told = "no reward" if reward is None else f"reward {reward:.2f}"
        lines.append(f"{place}. response {letter} · {told} · {' '.join(responses[letter].split())[:80]}")
    unshown = "" if reference is None else "; the reference was not shown: rankings are made without"
    state = f"done: every two in both orders, {found.cost.tokens:,} tokens{unshown}"
    return (state, f"the best of {len(best)} is response {best[0][0]}", "", "", "", "\n".join(lines), None)


# -- chains ------------------------------------------------------------------------------------------------------------


def _chains_tab(runs: Path) -> None:
    found = chains.sources(runs)
    with gr.Row():
        source = gr.Dropdown(found, value=found[0] if found else None, label="Run stage, measured judge, or evaluation")
        outcome = gr.Dropdown([chains.ANY, "right", "wrong", "no_verdict", "cut_off"], value=chains.ANY, label="Outcome")
        order = gr.Dropdown([chains.ANY, "ab", "ba"], value=chains.ANY, label="Order")
        kind = gr.Dropdown([chains.ANY], value=chains.ANY, label="Kind")
    contrast = gr.Checkbox(False, label="A right and a wrong execution of one plan, side by side")
    with gr.Row():
        search, again = gr.Button("Show", variant="primary"), gr.Button("Look for new runs")
    count = gr.Textbox(label="Found", interactive=False)
    chosen = gr.Dropdown([], label="Chain", value=None)
    detail = gr.HTML()
    listed = gr.State([])

    def listing(source: str | None, outcome: str, order: str, kind: str, contrast: bool) -> tuple[Any, ...]:
        try:
            if source is None:
                raise UserError(f"there are no chains below {runs} yet")
            filters = chains.Filters(outcome, order, kind)
            entries: list[Any] = chains.contrasts(runs, source, filters) if contrast else chains.look(runs, source, filters)
            kinds = [chains.ANY, *chains.kinds(runs, source)]
        except UserError as error:
            return f"error: {error}", gr.Dropdown([], value=None), "", [], gr.Dropdown([chains.ANY], value=chains.ANY)
        titles = [(f"{i}. {(one[0] if contrast else one).title}", i) for i, one in enumerate(entries, 1)]
        told = f"{len(entries)}{' or more' if len(entries) == chains.MOST else ''} {'plans with both' if contrast else 'chains'}"
        menu = gr.Dropdown(kinds, value=kind if kind in kinds else chains.ANY)
        return told, gr.Dropdown(titles, value=1 if titles else None), detail_of(1, entries), entries, menu

    def detail_of(number: int | None, entries: list[Any]) -> str:
        if not number or number > len(entries):
            return ""
        one = entries[number - 1]
        return str(chains.shown(one) if isinstance(one, chains.Entry) else chains.side_by_side(*one))

    shown = [count, chosen, detail, listed, kind]
    search.click(listing, [source, outcome, order, kind, contrast], shown, api_visibility="private")
    chosen.input(detail_of, [chosen, listed], detail, api_visibility="private")
    again.click(lambda: gr.Dropdown(chains.sources(runs)), None, source, api_visibility="private")


# -- run ---------------------------------------------------------------------------------------------------------------


def _run_tab(runs: Path) -> None:
    found = live.runs_in(runs)
    with gr.Row():
        name = gr.Dropdown(found, value=found[0] if found else None, label="Run")
        refresh = gr.Button("Refresh", variant="primary")
    gr.HTML("<h2>Stage</h2>")
    status = gr.HTML()
    gr.HTML("<h2>Curves</h2>")
    curves = gr.HTML()
    gr.HTML("<h2>Last chains</h2>")
    last = gr.HTML()

    def watch(name: str | None) -> tuple[str, str, str]:
        if name is None or name not in live.runs_in(runs):
            return f"there is no run below {escape(str(runs))} yet", "", ""
        try:
            return live.status(runs / name), live.curves(runs / name), live.last_chains(runs / name)
        except UserError as error:
            return str(escape(f"error: {error}")), "", ""

    # Matplotlib draws one figure at a time.
    alone: dict[str, Any] = {
        "concurrency_id": "plots",
        "concurrency_limit": 1,
        "api_visibility": "private",
        "show_progress": "hidden",
    }
    told = [status, curves, last]
    refresh.click(watch, name, told, **alone)
    name.input(watch, name, told, **alone)
    gr.Timer(_REFRESH_S).tick(watch, name, told, **alone)
