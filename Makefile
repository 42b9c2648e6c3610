# What you can do here. `make` alone prints this list. See CONTRIBUTING.md for the habits.

VENV := .venv
PY := $(VENV)/bin/python
# Tests mostly wait for real programs; more runners than this wait for each other on two cores.
RUNNERS ?= 3
SECONDS_EACH ?= 20
COUNT ?= 100
KILLS ?= 3000
WORLDS ?= 100000

.DEFAULT_GOAL := help
.PHONY: help setup setup-demo demo demo-clean test lint bench soak world

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: ## everything for working on Hearsight, into .venv/ (instant when nothing changed)
	@tools/setup dev

setup-demo:
	@tools/setup demo

demo: setup-demo ## play the stories on the running product: pages on http://127.0.0.1:8000 (TODAY=T=2016-12-02 stops story T there)
	@exec $(PY) -m demo $(addprefix --today ,$(TODAY))

demo-clean: ## remove what the demo made (HEARSIGHT_DATA, default .hearsight/)
	@tools/demo-clean

lint: setup ## ruff, mypy --strict, import contracts
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo

test: lint ## lint, then every test on real parts (installs Mosquitto and Chromium where it may)
	@tools/parts
	@$(VENV)/bin/pytest -n $(RUNNERS) --dist loadscope

soak: setup ## for days: KILLS=3000 kills (SEED=7 plays one run again), then WORLDS=100000 worlds; Ctrl-C tells the sum so far
	@tools/parts
	@$(PY) -m tests.e2e.crash.soak --kills $(KILLS) $(if $(SEED),--seed $(SEED))
	@$(if $(SEED),,$(PY) -m tests.world --seed 1001 --count $(WORLDS))

world: setup ## whole systems under a seed: SEED=7 COUNT=200
	@$(PY) -m tests.world --seed $(or $(SEED),1) --count $(COUNT)

bench: setup ## the eight benchmarks, SECONDS_EACH=20 each
	@$(PY) -m bench.ingest --seconds $(SECONDS_EACH)
	@$(PY) -m bench.backlog
	@$(PY) -m bench.history
	@$(PY) -m bench.weigh --seconds $(SECONDS_EACH)
	@$(PY) -m bench.finding --seconds $(SECONDS_EACH)
	@$(PY) -m bench.live --seconds $(SECONDS_EACH)
	@$(PY) -m bench.resolve --seconds $(SECONDS_EACH)
	@$(PY) -m bench.gateway --seconds $(SECONDS_EACH)
