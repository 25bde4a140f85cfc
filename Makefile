# Needs Python 3.11 to 3.13, make and a package index; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: help install demo test test-slow up check bench bench-latency simulate lock clean

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed; $$($(PYTHON) --version 2>&1) was found. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.runtime: $(VENV)/.python requirements/runtime.txt requirements/build.txt pyproject.toml
	@echo "Installing the pinned packages (about a minute the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/.dev  ## the environment in .venv, with the tools for tests and checks

demo: $(VENV)/.runtime  ## the main job on real orders, twice, with its reports in demo-out/
	@$(BIN)/psqb demo

up: $(VENV)/.runtime  ## web UI, daemon, gateway and sandbox: http://127.0.0.1:3000
	@$(BIN)/psqb up

test: $(VENV)/.dev  ## the tests
	@$(BIN)/python -m pytest -q -n auto --dist loadgroup -m "not slow"

test-slow: $(VENV)/.dev  ## the tests that kill real processes, wait for real clocks or look for every difference
	@$(BIN)/python -m pytest -q -n 1 -m slow

check: $(VENV)/.dev  ## ruff, types, import rules, Dagster's own validation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q ps_qb_pipeline_tests/architecture
	$(BIN)/dagster definitions validate -w workspace.yaml

bench: $(VENV)/.dev  ## the figures of docs/benchmarks.md
	$(BIN)/python -m ps_qb_pipeline_tests.bench

MINUTES ?= 10
bench-latency: $(VENV)/.dev  ## seconds from paid to booked, by webhooks, by polling, in a burst; MINUTES=n
	@$(BIN)/python -m ps_qb_pipeline_tests.bench.latency --minutes $(MINUTES)

SEEDS ?= 200
simulate: $(VENV)/.dev  ## shop-days under faults; SEEDS=n days, figures and a line of JSON
	$(BIN)/python -m ps_qb_pipeline_tests.faults.simulate --seeds $(SEEDS)

lock:  ## resolve the requirements files again (needs uv)
	uv pip compile --group build --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header -q -o requirements/build.txt
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header -q -o requirements/runtime.txt
	uv pip compile pyproject.toml --group test --group lint --group types -c requirements/runtime.txt --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --no-header -q -o requirements/dev.txt

clean:  ## remove what demo and up have made, not the environment
	rm -rf demo-out .psqb
