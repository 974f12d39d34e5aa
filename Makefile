.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN_ARGS ?=

.PHONY: help install run test check lint types contracts lock soak bench image pictures metrics

help: ## Print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make the virtual environment from the hashed lock

$(VENV)/.installed: requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-dev.lock
	@touch $@

run: install ## Poll 5,000 payments on this machine: database, provider, summary, exit code
	@$(BIN)/python -m worker poll-payments --local $(RUN_ARGS)

test: install ## Run the tests
	$(BIN)/python -m pytest -q

check: install lint types contracts ## Everything that CI holds the code to, but for the tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports

soak: install ## The long proofs, at their full numbers (minutes)
	$(BIN)/python -m pytest -q -m soak

metrics: install ## Write docs/metrics.md again from the code
	PYTHONPATH=. $(BIN)/python docs/metrics.py

pictures: install ## Draw the README's pictures again from the code
	PYTHONPATH=. $(BIN)/python docs/pictures/make.py

lock: ## Compile the hashed locks again from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --all-extras --group dev --output-file requirements-dev.lock
