"""Child processes of a comparison: `python -m compare.child KIND JOB.json PARENT_PID`, started by `run_child`, never by hand.

Each candidate answers, each trial trains, and lm-eval scores each checkpoint in a process of its own that frees its memory when it ends
and dies with its parent. An error that the user can mend is one line on stderr and exit status 2.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Literal

from planner.engines.base import EngineError
from planner.errors import UserError
from planner.models import ModelError
from planner.records import Record
from planner.store import write_text
from selftrain.launch import die_with_parent

Kind = Literal["respond", "score", "train"]


def run_child(kind: Kind, job: Record, file: Path, *, log: Path | None = None) -> None:
    """Run a job to its end; `file` keeps it.

    Args:
        log: takes what the child prints, for where nobody sees its stderr.

    Raises:
        UserError: it failed. It has said why on the lines before; with a log, the error says it. What it finished is kept.
    """
    write_text(file, job.model_dump_json())
    root = str(Path(__file__).resolve().parent.parent)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "compare.child", kind, str(file), str(os.getpid())]
    with nullcontext() if log is None else log.open("wb") as said:
        child = subprocess.Popen(command, env=env, stdout=said, stderr=said)
        try:
            code = child.wait()
        finally:
            if child.poll() is None:
                child.kill()
                child.wait()
    if code != 0:
        why = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        if log is None:
            raise UserError(f"{file} failed ({why}); mend the cause above and run the same command again, it goes on")
        said_last = next(
            (line for line in reversed(log.read_text(errors="replace").splitlines()) if line.strip()), "it said nothing"
        )
        raise UserError(
            f"{said_last.removeprefix('error: ')} ({why}; {log} has the rest); mend that and run the same command again, it goes on"
        )


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
        elif kind == "score":
            from compare.harness import ScoreJob, score

            score(ScoreJob.model_validate_json(text))
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
