"""What would fail a run hours after its start is asked before its first token: the seed's files, its chat format, the trackers."""

from __future__ import annotations

from planner.errors import UserError
from selftrain.config import Config


def check_trackers(config: Config) -> None:
    """Refuse an experiment tracker that the trainer does not know, or that is not installed.

    Raises:
        UserError: names it.
    """
    if not config.report_to:
        return
    from transformers.integrations import get_available_reporting_integrations
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in config.report_to:
        if name not in INTEGRATION_TO_CALLBACK:
            raise UserError(f"report_to: no tracker {name!r}; choose from {', '.join(sorted(INTEGRATION_TO_CALLBACK))}")
        if name not in get_available_reporting_integrations():
            raise UserError(f"report_to: the tracker {name!r} is not installed: pip install it, or leave it out")
