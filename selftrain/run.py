"""Train a judge from its own verdicts.

    accelerate launch --quiet selftrain/run.py configs/demo.toml [key=value …]
    python selftrain/run.py --dry-run configs/demo.toml [configs/accelerate/cpu-1.yaml] [key=value …]

The same command again goes on where the last one stopped. Exit status: 0 done, 2 something that you can mend (one line says what;
`accelerate launch` turns it into 1, and without `--quiet` adds a trace of its own).
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

# `accelerate launch selftrain/run.py` puts selftrain/ first on the path; the house's packages lie one above.
ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from planner.engines.base import EngineError  # noqa: E402
from planner.errors import TellDiskFull, UserError  # noqa: E402
from planner.models import ModelError  # noqa: E402
from prompts import PromptError  # noqa: E402
from selftrain.config import load_config  # noqa: E402
from selftrain.dry_run import dry_run  # noqa: E402
from selftrain.launch import PeerError, World, die_with_parent  # noqa: E402
from selftrain.loop import loop  # noqa: E402
from selftrain.steps import Run  # noqa: E402


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if arguments else 2
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        # Killing the launcher must not leave a run that nobody sees.
        die_with_parent()
        # So ends a launch of which another process was killed: the launcher stops the rest.
        signal.signal(signal.SIGTERM, _stopped)
    world = None
    try:
        with TellDiskFull():
            if "--dry-run" in arguments:
                dry_run([one for one in arguments if one != "--dry-run"])
                return 0
            config = load_config(arguments[0], arguments[1:])
            world = World(config)
            loop(Run(config, world))
    except PeerError as error:
        # The rank that failed has said it as an error; on another node, this line is all there is.
        print(f"rank {world.rank if world else '?'} stops: {error}", file=sys.stderr)
        return 2
    except (UserError, EngineError, ModelError, PromptError) as error:
        return _give_up(world, str(error))
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _give_up(world: World | None, why: str) -> int:
    print(f"error: {why}", file=sys.stderr)
    if world is not None:
        # Where the disk is full the other ranks cannot be told; the launcher ends them.
        with suppress(UserError, OSError):
            world.fail(why)
    return 2


def _stopped(*_: object) -> None:
    rank = os.environ.get("RANK", "0")
    raise UserError(
        f"rank {rank} was stopped from outside: another rank was killed, or the launch was; the same command goes on from here"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
