"""Child processes of a comparison: `python -m compare.child KIND JOB.json PARENT_PID`, started by `run_child`, never by hand.

Each candidate answers, and each trial trains, in a process of its own that frees its memory when it ends and dies with its parent.
An error that the user can mend is one line on stderr and exit status 2.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Literal

from planner.engines.base import EngineError
from planner.errors import UserError
from planner.models import ModelError
from planner.records import Record
from planner.store import write_text
from selftrain.launch import die_with_parent

Kind = Literal["respond", "train"]


def run_child(kind: Kind, job: Record, file: Path) -> None:
    """Run a job to its end; `file` keeps it.

    Raises:
        UserError: it failed. It has said why on the lines before; what it finished is kept.
    """
    write_text(file, job.model_dump_json())
    root = str(Path(__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    child = subprocess.Popen([sys.executable, "-m", "compare.child", kind, str(file), str(os.getpid())], env=env)
    try:
        code = child.wait()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    if code != 0:
        why = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        raise UserError(f"{file} failed ({why}); mend the cause above and run the same command again, it goes on")


def main() -> int:
    die_with_parent()
    kind, job, parent = sys.argv[1:]
    # The parent may have died before the line above took effect; then somebody else is the parent now.
    if os.getppid() != int(parent):
        return 1
    text = Path(job).read_text()
    try:
        if kind == "respond":
            from compare.candidates import RespondJob, read_questions, respond
            from selftrain.sample import open_engine

            asked = RespondJob.model_validate_json(text)
            engine = open_engine(asked.respond.engine, asked.model, seed=0)
            respond(engine, read_questions(Path(asked.questions)), Path(asked.folder), asked.respond)
            engine.close()
        else:
            from compare.trial import TrialJob, train

            train(TrialJob.model_validate_json(text))
    except (UserError, EngineError, ModelError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
