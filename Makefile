# The front door: `make demo` shows TDS at work, `make test` proves it. Both need only make and Python 3.11-3.14.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1 \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help install dev demo up test faults coverage audit pictures fuzz bench docs reference lock dist sbom release-data clean
help:  ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' Makefile

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "TDS needs Python 3.11, 3.12, 3.13 or 3.14 with its venv module. Debian: apt-get install python3 python3-venv. macOS: brew install python@3.14"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

LOCKS := build runtime embedded
$(VENV)/.installed: $(VENV)/.created $(LOCKS:%=requirements/%.lock) setup.cfg setup.py pyproject.toml lab/pyproject.toml
	@echo "Installing TDS into $(VENV) (once; about a minute)"
	$(PIP) --require-hashes --only-binary=:all: $(LOCKS:%=-r requirements/%.lock)
	$(PIP) --no-deps --no-build-isolation --editable . --editable lab
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
	$(BIN)/python -m tests.support.suite

faults: dev  ## what takes longer: chaos, workers that die or hang, a comparison while records change, an alert for every kind of fault (three quarters of an hour)
	$(BIN)/python -m pytest -m long -rP

TESTS ?=
coverage: dev  ## which lines and branches the tests run, also in processes they start (an hour; TESTS="tests/unit tests/house" for a part)
	$(BIN)/coverage erase
	@# Benchmarks are left out: under measurement their figures mean nothing.
	@status=0; set -x; \
	$(if $(TESTS),$(BIN)/python -m pytest $(TESTS) -n 2 -m 'not long',$(BIN)/python -m tests.support.suite --ignore tests/acceptance/test_benchmarks.py) \
		--cov --cov-append --cov-report= || status=$$?; \
	$(BIN)/coverage html -q -d .coverage-html; \
	$(BIN)/coverage report --skip-covered $(if $(TESTS),,--fail-under=80) || status=$$?; \
	exit $$status

audit: dev  ## ask a public database for known weaknesses of what is pinned
	@$(BIN)/python .ci/advisories.py requirements/build.lock requirements/dev.lock

pictures: dev  ## make the pictures of the documents anew, in a browser
	DOCS_PICTURES=docs/pictures $(BIN)/python -m pytest -q tests/integration/pages/test_dashboard_in_chromium.py -k pictures

fuzz: dev  ## ask the API everything its description allows and forbids, as nobody and as each role (nine minutes)
	$(BIN)/python -m tests.fuzzing

$(VENV)/.bench: $(VENV)/.dev requirements/bench.lock
	$(PIP) --require-hashes --only-binary=:all: -r requirements/bench.lock
	@touch $@

bench: $(VENV)/.bench  ## run all benchmarks and print a table
	$(BIN)/python -m benchmarks

$(VENV)/.docs: $(VENV)/.created requirements/docs.lock
	$(PIP) --require-hashes --only-binary=:all: -r requirements/docs.lock
	@touch $@

docs: $(VENV)/.docs  ## build the site of the documents, build/site/index.html; a lost link or anchor ends it with 1
	$(BIN)/zensical build --strict --clean
	@! grep -rlE '<(script|link|img|iframe)[^>]* (src|href)="?(https?:)?//' build/site --include='*.html' \
		|| { echo "These pages load something from elsewhere." >&2; exit 1; }

reference: dev  ## write the pages of docs/reference anew, and the list of decisions
	$(BIN)/python -m tests.support.reference

lock: dev  ## pin every dependency again, with hashes
	cd requirements && for part in runtime build embedded otel dev bench docs; do ../$(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command 'make lock' -q $$([ $$part = runtime ] || echo -c runtime.lock) $$part.in -o $$part.lock; done

dist: dev  ## build the wheels of TDS and tds-lab, and the source distribution, in dist/
	$(BIN)/python -c "from setuptools.build_meta import build_sdist; build_sdist('dist')"
	$(BIN)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist dist/tds-*.tar.gz ./lab

sbom: dev  ## list the parts of an installed TDS as CycloneDX, dist/tds.cdx.json
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements/runtime.lock --output-reproducible --output-file dist/tds.cdx.json

release-data: dev  ## keep a database of this version, from which later ones are tested to upgrade
	$(BIN)/python -m tests.support.release_data

clean:  ## remove the environment and all local data
	rm -rf $(VENV) .tds build dist lab/build .coverage .coverage-html *.egg-info lab/*.egg-info
