.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUN_ARGS ?=
BENCH_ARGS ?=
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
IMAGE ?= ecs-batch-worker:$(VERSION)
IMAGE_ARGS ?=
EXTRAS ?=
REPOSITORY ?=
PUSH_ARGS ?=
JOB ?=
ENV ?= production.env
PARAMETERS ?=
ARCH ?= x86_64
FUNCTIONS_PYTHON ?= python3.13
# The first that is there and works: a docker client without its engine does not.
ENGINE ?= $(firstword $(foreach engine,docker podman buildah,$(shell $(engine) info >/dev/null 2>&1 && echo $(engine))))

# uv takes a tenth of the time of pip, which brings it, and does its work where it cannot (an index that pip alone knows).
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.PHONY: help install run test check lint types contracts dockerfile doctor lock soak bench bench-quick instructions image image-test push functions deploy deploy-shared documents pictures

help: ## Print the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## Make the virtual environment from the hashed lock

$(VENV)/.installed: requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	@sed -n '/^uv==/,/# via/p' $< > $(VENV)/uv.lock
	$(PIP_INSTALL) --requirement $(VENV)/uv.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement $< || $(PIP_INSTALL) --requirement $<
	@touch $@

run: install ## Poll 5,000 payments on this machine: database, provider, summary, exit code
	@WORKER_RATE=$${WORKER_RATE:-480} LOG_FORMAT=$${LOG_FORMAT:-text} $(BIN)/python -m worker poll-payments --local --provider-rate 500 $(RUN_ARGS)

test: install ## Run the tests
	$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder

check: install lint types contracts dockerfile doctor ## Everything that CI holds the code to, but for the tests

lint:
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types:
	$(BIN)/mypy

contracts:
	$(BIN)/lint-imports

dockerfile:
	$(BIN)/hadolint Dockerfile

doctor: # what hurts at night, in the files alone: not in the environment of who runs it
	env -u DATABASE_URL -u RUN_TABLE $(BIN)/python -m worker doctor

image: ## Build the image that runs jobs: make image IMAGE=name:tag [EXTRAS=traces]
	@test -n "$(ENGINE)" || { echo "no docker, podman or buildah that works: install one, or name it with ENGINE=…" >&2; exit 1; }
	$(ENGINE) build --tag $(IMAGE) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(shell git rev-parse HEAD) --build-arg EXTRAS=$(EXTRAS) $(IMAGE_ARGS) .

functions: install ## Build the code of the Lambda functions: make functions ARCH=arm64 FUNCTIONS_PYTHON=/path/to/python3.13
	@$(BIN)/python -m worker.aws.function_package --architecture $(ARCH) --python $(FUNCTIONS_PYTHON)

image-test: install ## Run an image as ECS would, and stop and starve it: make image-test IMAGE=name:tag
	@IMAGE=$(IMAGE) ENGINE=$(ENGINE) $(BIN)/python -m pytest -q -m image -s tests/test_image.py tests/test_push.py

push: ## Push the image to ECR as VERSION, and print its name by digest: make push REPOSITORY=….amazonaws.com/batch-worker
	@ENGINE="$(ENGINE)" IMAGE="$(IMAGE)" VERSION="$(VERSION)" REPOSITORY="$(REPOSITORY)" PUSH_ARGS="$(PUSH_ARGS)" .ci/push

deploy: export PARAMETERS := $(PARAMETERS)
deploy: install ## Show what a release of a job changes, then change it: make deploy JOB=poll-payments ENV=production.env IMAGE=name:tag
	@PYTHON=$(BIN)/python task-definitions/deploy "$(JOB)" "$(ENV)" "$(IMAGE)"

deploy-shared: install ## The same for what jobs share: make deploy-shared ENV=production.env
	@code=$$($(BIN)/python -m worker.aws.function_package --architecture $(ARCH) --python $(FUNCTIONS_PYTHON)) && \
	  PYTHON=$(BIN)/python PARAMETERS="FunctionsArchitecture=$(ARCH) $(PARAMETERS)" task-definitions/deploy shared "$(ENV)" "$$code"

soak: install ## The long proofs, at their full numbers (minutes)
	$(BIN)/python -m pytest -q -m soak --timeout 1800

bench: install ## Measure against what else could be written: a table, exit 1 where a line is short (minutes)
	$(BIN)/python -m bench $(BENCH_ARGS)

bench-quick: install ## The same lines, smaller and noisier (under a minute)
	$(BIN)/python -m bench --quick $(BENCH_ARGS)

instructions: install ## Count the instructions of the no-op path, where valgrind or perf can
	$(BIN)/python -m bench.instructions

documents: install ## Write again what is made from the code: docs/metrics.md, docs/environment.md, docs/endings.md, the pictures
	PYTHONPATH=. $(BIN)/python docs/metrics.py
	PYTHONPATH=. $(BIN)/python docs/environment.py
	PYTHONPATH=. $(BIN)/python docs/endings.py
	PYTHONPATH=. $(BIN)/python docs/pictures/make.py

pictures: install ## Take the console's pictures again, in a browser: docs/pictures/console-*.png (takes chromium)
	WRITE_PICTURES=1 $(BIN)/python -m pytest -q tests/test_console.py

lock: ## Compile the hashed locks again from pyproject.toml
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --output-file requirements.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --extra traces --output-file requirements-traces.lock
	$(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-emit-index-url --no-emit-find-links --all-extras --group dev --output-file requirements-dev.lock
