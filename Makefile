# Penstock's targets. `make help` lists them. Every target that needs something calls `setup`, which
# does nothing when there is nothing to do.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# The first that runs: a version manager may offer a python3.11 that it has not got.
PYTHON ?= $(shell for name in python3.11 python3; do "$$name" -c pass 2> /dev/null && { command -v "$$name"; break; }; done)
UV_VERSION := 0.13.8
BIN := .venv/bin
VAR := $(or $(PENSTOCK_VAR),var)
STAMPS := $(VAR)/setup
LIBS := $(VAR)/kafka/libs

# Compiled once and kept: without it a role compiles its libraries at every start, which takes it as long as all the rest.
unexport PYTHONDONTWRITEBYTECODE
IMPORTED := streams.worker, streams.cli.main, agents.router, agents.generator, agents.evaluator, agents.model_server.server, analytics.worker

.PHONY: help setup demo test chaos bench check format up down clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMPS)/packages $(STAMPS)/project $(LIBS)/.complete $(STAMPS)/encoders ## make .venv and provide the broker's artefacts and the encoders

demo: setup ## the whole loop on real questions: start, ask, learn, print the result, stop
	@$(BIN)/python -m examples.demo

test: setup ## the whole test suite, on a real broker where a test needs one
	@$(BIN)/pytest -n 2 --dist loadgroup --no-loadscope-reorder

chaos: setup ## every fault under load, in at most 15 minutes: what was lost, answered or paid twice; writes var/chaos.json
	@$(BIN)/python -m tests.chaos_parts.report --out $(VAR)/chaos.json

bench: setup ## how fast it is: every figure beside its baseline, in about 10 minutes; writes var/bench.json
	@$(BIN)/python -m tests.benchmarks

check: setup ## linters, types, import contracts, schema compatibility, generated files
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m schemas.generate --check
	@$(BIN)/python -m schemas.compatibility
	@$(BIN)/penstock topology --check

format: setup ## let ruff repair what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

up: setup ## start everything on this machine, until Ctrl-C
	@$(BIN)/penstock up

down: setup ## stop what `make up` started
	@$(BIN)/penstock down

clean: ## remove .venv, tools' caches and the broker's artefacts; the data under var/ stays
	rm -rf .venv build *.egg-info $(STAMPS) $(LIBS) $(VAR)/cache .ruff_cache .hypothesis

# ---------------------------------------------------------------- what setup consists of, each with its stamp

$(BIN)/uv:
	@test -n "$(PYTHON)" || { echo "Penstock needs Python 3.11 or newer, and found no python3. Install it, or name one: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Penstock needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Install it, or name another: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make virtual environments. On Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "setup: .venv with $$("$(PYTHON)" -V)"
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

$(STAMPS)/packages: requirements.lock $(BIN)/uv
	@echo "setup: packages of requirements.lock"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@mkdir -p $(@D) && touch $@

$(STAMPS)/project: pyproject.toml $(STAMPS)/packages
	@echo "setup: penstock, editable"
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@$(BIN)/python -c "import $(IMPORTED)"
	@touch $@

# Kafka's jars, where neither a broker is given nor a container engine answers. Where they are not needed, nothing is
# made, and the question is asked again next time: what answers today may not answer tomorrow.
$(LIBS)/.complete: infra/kafka/pom.xml $(STAMPS)/project
	@$(BIN)/python -m infra.artefacts --libs $(LIBS)

$(STAMPS)/encoders: requirements.lock $(STAMPS)/project $(wildcard agents/encoding/*.py)
	@echo "setup: encoders"
	@$(BIN)/python -m agents.encoding.prepare --out $(VAR)/models
	@touch $@
