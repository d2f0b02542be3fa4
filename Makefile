# The front door: `make demo` shows TDS at work, `make test` proves it. Both need only make and Python 3.11-3.13.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install dev demo up test faults fuzz check bench lock clean
help:  ## show this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' Makefile

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "TDS needs Python 3.11, 3.12 or 3.13 with its venv module. Debian: apt-get install python3 python3-venv. macOS: brew install python@3.13"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created requirements/runtime.lock setup.cfg pyproject.toml
	@echo "Installing TDS into $(VENV) (once; about a minute)"
	$(PIP) --require-hashes --only-binary=:all: -r requirements/runtime.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements/dev.lock
	$(PIP) --require-hashes --only-binary=:all: -r requirements/dev.lock
	@touch $@

install: $(VENV)/.installed  ## make .venv with everything TDS needs
dev: $(VENV)/.dev  ## install, and what tests and checks need

demo: install  ## run everything against a Zoho stand-in and watch it agree
	@$(BIN)/tds demo

up: install  ## run TDS on this machine (embedded PostgreSQL and Redis unless TDS_DATABASE_URL / TDS_REDIS_URL are set)
	@$(BIN)/tds up

test: dev  ## style, types, house rules and every test but those of `make faults`
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@# Whole stacks are started one at a time, with nothing beside them: what they promise is about time, too.
	@status=0; set -x; \
	$(BIN)/python -m pytest -n 2 --ignore tests/acceptance --durations 5 || status=$$?; \
	$(BIN)/python -m pytest tests/acceptance -m 'not long' --durations 10 || status=$$?; \
	exit $$status

faults: dev  ## what takes longer: chaos, workers that die or hang, a comparison while records change, an alert for every kind of fault (half an hour)
	$(BIN)/python -m pytest tests/acceptance -m long -rP

fuzz: dev  ## ask the API everything its description allows and forbids, as nobody and as each role (nine minutes)
	$(BIN)/python -m tests.fuzzing

$(VENV)/.bench: $(VENV)/.dev requirements/bench.lock
	$(PIP) --require-hashes --only-binary=:all: -r requirements/bench.lock
	@touch $@

bench: $(VENV)/.bench  ## run all benchmarks and print a table
	$(BIN)/python -m benchmarks

lock: dev  ## pin every dependency again, with hashes
	cd requirements && for part in runtime otel dev bench; do ../$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -q $$([ $$part = runtime ] || echo -c runtime.lock) $$part.in -o $$part.lock; done

clean:  ## remove the environment and all local data
	rm -rf $(VENV) .tds build *.egg-info
