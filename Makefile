# Everything a newcomer needs: `make demo` and `make test`. Both set up what they need by themselves.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BENCH := .venv-bench
BIN := $(VENV)/bin
WORLD := tests/real/world.sh
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# Tests that run at once: most of them wait for something, so more than this machine has cores.
AT_ONCE ?= 4
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help setup demo serve check test real test-long bench lock clean

help: ## What can be made here
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

setup: $(VENV)/.test-ready ## A virtual environment with everything, also for the tests

demo: $(VENV)/.run-ready ## One real alert travels the whole way, narrated
	@$(BIN)/soar demo

serve: $(VENV)/.run-ready ## Start the service on this machine
	@$(BIN)/soar serve

check: $(VENV)/.test-ready ## Style, types, layers and the repository's own tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/repo

test: check real ## Everything that can be tested on this machine
	$(BIN)/pytest tests --ignore=tests/repo --ignore=tests/real -m "not long and not alone" --numprocesses=$(AT_ONCE) --dist=worksteal
	$(BIN)/pytest tests --ignore=tests/repo --ignore=tests/real -m "not long and alone"

real: $(VENV)/.servers-ready ## The adapters against real servers, in a world of their own; ARGS=FILE for one of them
	$(WORLD) $(BIN)/pytest $(or $(ARGS),tests/real) -m "not long" --numprocesses=2 --dist=loadfile

test-long: $(VENV)/.test-ready ## The long forms: more runs, more kills, more time
	$(BIN)/pytest tests --ignore=tests/real -m long --timeout=3600

bench: $(BENCH)/.ready ## How fast it is beside what it replaces; ARGS=--quick for a short look
	@$(BENCH)/bin/python -m bench $(ARGS)

lock: ## Pin all dependencies anew, with hashes and without naming an index (needs uv)
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra build --extra postgres pyproject.toml -o requirements/run.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra build --extra postgres --extra test -c requirements/run.txt pyproject.toml -o requirements/test.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
		--extra build --extra bench -c requirements/run.txt pyproject.toml -o requirements/bench.txt

clean: ## Remove what was made here, the data folder aside
	rm -rf $(VENV) $(BENCH) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "soar needs Python 3.11 or newer: none was found"; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) ..."
	@$(PYTHON) -m venv $(VENV) || { echo "no virtual environment can be made; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.run-ready: requirements/run.txt pyproject.toml | $(VENV)/.made
	@echo "Installing pinned dependencies ..."
	@$(PIP) install --require-hashes -r requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test-ready: requirements/test.txt $(VENV)/.run-ready
	@echo "Installing what the tests need ..."
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

$(VENV)/.servers-ready: tests/real/debian.txt tests/real/install.sh $(VENV)/.test-ready
	@tests/real/install.sh
	@touch $@

$(BENCH)/.ready: requirements/bench.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "soar needs Python 3.11 or newer: none was found"; exit 1; }
	@echo "Setting up $(BENCH) ..."
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/bench.txt
	@$(BENCH)/bin/python -m pip --disable-pip-version-check --quiet install --no-deps --no-build-isolation -e .
	@touch $@
