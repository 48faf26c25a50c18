"""`evalplanner serve`: one call into `rewards.serve`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.terminal import mendable


def serve(
    model: Annotated[
        str | None,
        typer.Argument(help="A checkpoint folder, a hub id, or `embedded`, the default; with --url, the served model's name."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A TOML file; its keys are those of rewards/config.py.", metavar="FILE.toml")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="Ask the model behind this OpenAI-compatible URL instead of starting one.", metavar="URL")
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="How a model without judge.json is asked, e.g. evalplanner or mtbench.", metavar="NAME")
    ] = None,
    cohort: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Responses to a prompt that single requests wait for. Default 1: no wait."),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any that is free.")] = 8100,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask for no key. On loopback only.")] = False,
) -> None:
    """Serve a judge over HTTP: rewards for RLHF trainers, comparisons, judgments, and OpenAI's chat API.

    \b
    Examples:
      EVALPLANNER_API_KEY=secret evalplanner serve runs/demo/M2_DPO --cohort 8
      evalplanner serve --no-auth                      # the embedded model, on loopback
      curl -H "Authorization: Bearer secret" http://127.0.0.1:8100/openapi.json

    SIGTERM and Ctrl-C end it: no new requests, and an answer to each that was accepted.

    Exit status: 0 ended so, 2 something that you can mend (one line on stderr says what).
    """
    with mendable():
        from planner.errors import UserError
        from rewards.config import RewardConfig, load_reward_config
        from rewards.serve import KEY
        from rewards.serve import serve as run

        loaded = load_reward_config(config)
        changes: dict[str, Any] = {"model": model, "url": url, "style": style}
        tree = loaded.model_dump() | {name: value for name, value in changes.items() if value is not None}
        if cohort is not None:
            tree["http"] = tree["http"] | {"cohort": cohort}
        key = os.environ.get(KEY) or None
        if no_auth and key is not None:
            raise UserError(f"{KEY} is set and --no-auth given: which is it to be?")
        if key is None and not no_auth:
            raise UserError(f"set {KEY} to the key that clients must send, or give --no-auth on loopback")
        run(RewardConfig.model_validate(tree), host=host, port=port, key=key)
