"""Start the page: on loopback for whoever sits at this machine, elsewhere only with a password."""

from __future__ import annotations

import os
from pathlib import Path

from planner.errors import UserError
from rewards.serve import is_loopback

PASSWORD = "EVALPLANNER_UI_PASSWORD"


def check_access(host: str) -> str | None:
    """The password that visitors must give; None on loopback without one.

    Raises:
        UserError: an address that others can reach, and no password.
    """
    password = os.environ.get(PASSWORD) or None
    if password is None and not is_loopback(host):
        raise UserError(
            f"{host} can be reached by others: set {PASSWORD} to a password (the user is evalplanner), or serve 127.0.0.1"
        )
    return password


def serve(judges: list[str], runs: Path, votes: Path, *, host: str, port: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: no password for an address that others can reach, a port that is taken, or gradio is not installed.
    """
    password = check_access(host)
    try:
        from ui.app import launch, page
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise UserError('the page needs gradio: pip install -e ".[ui]"') from None
    from ui.desk import Desk, open_vllm

    desk = Desk(judges, votes, open_vllm)
    made = page(desk, runs)
    try:
        launch(made, host=host, port=port, password=password)
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        made.block_thread()
    except OSError as error:
        raise UserError(f"cannot listen on {host}:{port}; choose another --port") from error
    finally:
        desk.close()
