# Everything that this project can do. Each target makes its own environment; nothing is installed by hand.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

help: ## Show this help
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.run: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Laurels needs Python 3.11 or newer; name one with PYTHON=…" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run requirements-dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

$(VENV)/.bench: $(VENV)/.run requirements-bench.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-bench.lock
	@touch $@

run: $(VENV)/.run ## Serve the whole system on http://localhost:8000
	@exec $(BIN)/laurels up

demo: $(VENV)/.run ## Fill the running instance with demo data
	@$(BIN)/laurels demo

check: $(VENV)/.test ## Lint, types and import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check ## Run everything that checks this project, with a short fault run; SEED=
	$(BIN)/coverage erase
	$(BIN)/python -m pytest tests/unit -n 0 -q --cov --cov-report=
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100
	$(BIN)/python -m pytest --ignore=tests/unit --ignore=tests/compose --cov --cov-append --cov-report=
	$(BIN)/coverage report --fail-under=$(COVERED)
# What is pure is covered to the last branch by the unit tests alone, and all of production to this percentage by all tests.
PURE := shared/domain/*,shared/events/*,command_api/decisions/*
COVERED := 84

compose-test: $(VENV)/.test ## Run compose.yaml with a Docker engine, under load, kills and restarts
	$(BIN)/python -m pytest tests/compose -n 0 -v -s

faults: $(VENV)/.test ## Kill, pause and cut everything under load, and account for it; SEED= KILLS= EVENTS=
	$(BIN)/python -m tests.faults.run --deployment embedded $(FAULTS)
	$(BIN)/python -m tests.faults.run --deployment kafka $(FAULTS)
FAULTS := $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS)) $(if $(EVENTS),--events $(EVENTS))

faults-twins: $(VENV)/.test ## Run the same against deliberately broken twins, and write down what caught each
	$(BIN)/python -m tests.faults.twins

bench: $(VENV)/.bench ## Measure everything beside its floor, in about a quarter of an hour; LINE= SCALE=
	$(BIN)/python -m bench $(if $(SCALE),--scale $(SCALE)) $(LINE)

scaling: $(VENV)/.bench ## Simulate what is beyond one machine: shards, partitions, projectors
	$(BIN)/python -m bench.scaling

openapi: $(VENV)/.run ## Write the OpenAPI document from the routes
	$(BIN)/laurels openapi > shared/http/openapi.json

settings: $(VENV)/.test ## Write .env.example and the settings of compose.yaml from the code
	$(BIN)/python -m tests.support.settings_files

lock: ## Compile the locks again; needs uv
	uv pip compile --quiet --upgrade $(LOCK_OPTIONS) pyproject.toml --group install -o requirements.lock
	uv pip compile --quiet --upgrade $(LOCK_OPTIONS) pyproject.toml --group bench -o requirements-bench.lock
	uv pip compile --quiet --upgrade $(LOCK_OPTIONS) pyproject.toml --group dev -o requirements-dev.lock
LOCK_OPTIONS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate

.PHONY: help run demo check test faults faults-twins bench scaling openapi settings lock
