# Every target does its own set-up: on a bare Debian 12 with make and Python 3.11, `make demo` works.
.DEFAULT_GOAL := help
SHELL := /bin/sh
BIN := .venv/bin
# One thread per test process; steps set their own threads from the task's cpus.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
TEST_WORKERS ?= 2
# One module, one worker. In order, so that the whole runs of tests/e2e begin first: they last
# longest, but have few tests, for which pytest-xdist would leave them to the end.
PARALLEL := -n $(TEST_WORKERS) --dist loadscope --no-loadscope-reorder
CHAOS_KILLS ?= 30
FUZZ_MINUTES ?= 10

.PHONY: help install demo test lint format types imports real slow chaos fuzz faults \
	container-image container-check bench wheel constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1 ~ \2/p' Makefile | column -t -s '~'

install: ## build .venv from constraints.txt (fast when up to date)
	@scripts/install

demo: install ## simulate a season, train, reconstruct, evaluate, report
	$(BIN)/skymend demo

test: install ## unit, integration and end-to-end tests, three chaos kills among them
	@scripts/need chromium || echo "the page test is skipped without Chromium"
	@scripts/need curl proj-data otb-bin || echo "tests against curl, OTB and the geoid are skipped"
	$(PYTEST) $(PARALLEL) --durations 20
	OMP_NUM_THREADS=1 $(BIN)/python scripts/chaos.py --kills 3

lint: install ## ruff (rules and format), reference up to date, hadolint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python scripts/reference --check
	$(BIN)/hadolint --config .hadolint.yaml containers/*.Dockerfile

format: install ## let ruff format and fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install ## mypy, strict on the library
	$(BIN)/mypy

imports: install ## who may know whom (architecture, section 3)
	$(BIN)/lint-imports --no-cache

real: install ## runs on real imagery, where it lies beside the checkout (SKYMEND_SHARED)
	$(PYTEST) $(PARALLEL) -m real

slow: install ## suites of minutes: Prefect server and worker, both model backends
	$(PYTEST) $(PARALLEL) -m "slow and not real and not container"

chaos: install ## kill runs at random moments, CHAOS_KILLS times (30)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/chaos.py --kills $(CHAOS_KILLS)

fuzz: install ## feed damaged files to every parser for FUZZ_MINUTES (10)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/fuzz.py --minutes $(FUZZ_MINUTES)

faults: install ## 1,000 downloads and 200 kills; writes the table of docs/downloads.md
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fault_table

container-image: install ## build the images core and sources on a base made from Debian packages
	scripts/with-docker scripts/build-image sources

container-check: install ## build both images and compare runs in containers with plain ones
	scripts/with-docker scripts/container-check

bench: install ## print the benchmark tables
	@scripts/need curl otb-bin proj-data || echo "comparisons with curl and OTB will fail"
	$(BIN)/python -m benchmarks

wheel: install ## build dist/*.whl
	rm -rf build dist
	$(BIN)/uv build --quiet --wheel --no-build-isolation --python $(BIN)/python

constraints: install ## renew constraints.txt after a change of dependencies
	scripts/compile-constraints

clean: ## remove what builds, tests and the demo leave
	rm -rf build dist demo store .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .snakemake
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
