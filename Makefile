# `make demo` and `make test` set everything up. The rest is for those who work on the project.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
DATA   ?= $(or $(GLIP_ENGINE_DATA),../shared/data)
RUNS   ?= runs
# Processes that test side by side, one a core, each whole files; a few do, since each may start a Ray of its own. Files
# come in their own order: by number of tests, as is the default, those of few and long tests would come last.
TESTERS := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: help demo test test-all check format parser nano clean

help:  ## this list
	@awk -F ':.*## +' '/^[a-z-]+:.*##/ {printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

# With an older one pip ends in conflicts between packages, and leaves an environment that a newer one would take.
NEW_ENOUGH := import sys; sys.version_info >= (3, 11) or sys.exit("wanted Python 3.11 or newer, found " + sys.executable \
	+ " " + sys.version.split()[0] + "; give another, as in `make demo PYTHON=python3.13`, after `rm -rf $(VENV)`")

$(READY): pyproject.toml constraints.txt
	@$(or $(wildcard $(BIN)/python),$(PYTHON)) -c '$(NEW_ENOUGH)'
	@echo "installing into $(VENV); the first time this takes some minutes and gigabytes"
	test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev,s3]'
	@touch $@

demo: $(READY)  ## one generation of self-training on drawn scenes, ending in a page to look at
	$(BIN)/glip-engine generation --recipe recipes/demo.yaml --out "$(RUNS)/demo"
	@echo "open $(RUNS)/demo/report/index.html in a browser; next: $(BIN)/glip-engine label path/to/tars --out my-dataset"

test: $(READY)  ## the tests that take minutes
	$(BIN)/python -m pytest $(TESTERS)

test-all: $(READY)  ## also the slow ones, each alone
	$(BIN)/python -m pytest $(TESTERS) --slow -m "not slow"
	$(BIN)/python -m pytest --slow -m slow

check: $(READY)  ## what CI runs: format, lint, types, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin  # what a Mac's Python lacks is an error too
	$(MAKE) test

format: $(READY)  ## apply the format that `check` asks for
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

parser: $(READY)  ## train the shipped caption parser (engine/parser) on the treebank
	$(BIN)/python -m pipelines.shipped.parser --treebank "$(DATA)/treebank" --out engine/parser

nano: $(READY)  ## train the shipped model (glip/pretrained/nano)
	$(BIN)/python -m pipelines.shipped.nano --data "$(DATA)" --out "$(RUNS)/nano"

clean:  ## remove what tools left behind; runs and the environment stay
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
