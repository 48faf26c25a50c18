# make demo   set up .venv, train a judge on the embedded model, print the table      (2 cores: see README)
# make test   set up .venv, pass the tests                                            (2 cores: under 20 minutes)
#
# Everything is set up from requirements/cpu.lock. A CPU build of torch that your package index does not carry is on PyTorch's
# own wheel index: make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

PYTHON ?= python3.11
TORCH_INDEX ?=
VENV := .venv
BIN := $(VENV)/bin
LAUNCH := $(BIN)/accelerate launch --quiet --config_file configs/accelerate/cpu-1.yaml

.PHONY: demo test test-quick test-web docs lint bench soak lock setup clean

setup: $(VENV)/.ready

$(VENV)/.ready: requirements/cpu.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { echo "error: the lock is for Python 3.11; set PYTHON=/path/to/python3.11"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -r requirements/cpu.lock || \
		{ echo "error: the lock could not be installed. If torch is what is missing: make $(MAKECMDGOALS) TORCH_INDEX=https://download.pytorch.org/whl/cpu"; exit 2; }
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup
	$(LAUNCH) selftrain/run.py configs/demo.toml $(ARGS)

# What needs no model first, so that what is broken fails early; a thread for each of its two processes. The slow half is one process: its
# engines and trainers take both cores as they are, and two that do so at once hold each other up.
test: setup lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n 2 --dist loadfile
	$(BIN)/python -m pytest -q -m slow --durations 15

# Under a minute: what needs no model and waits for nothing.
test-quick: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow and not waits" -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python bench/store.py --json
	$(BIN)/python bench/sampling.py --json

# Needs Debian's chromium and npm: apt-get install chromium npm
test-web: setup
	npm ci --prefix tests/web --silent --no-audit --no-fund
	EVALPLANNER_WEB=1 $(BIN)/python -m pytest -q tests/web

docs: setup
	DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

soak: setup
	$(BIN)/python tools/soak.py

lock:
	$(BIN)/python -m pip install --quiet packaging
	$(BIN)/python tools/lock.py

clean:
	rm -rf $(VENV) build *.egg-info
