# Everything that a fresh machine with Python 3.11+, git and make needs is fetched into this folder.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
# Which interpreter .venv is to have: the one that it has, unless PYTHON names another.
WANTED := $(if $(filter file,$(origin PYTHON)),.venv/bin/python,$(PYTHON))
UV ?= $(shell command -v uv || echo $(CURDIR)/.tools/bin/uv)
BIN := .venv/bin
# Compiled tests are kept from run to run, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo quick test crash race fuzz mutants walk bench bench-quick axe check screenshots lock clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/.runtime ## Install Unlatch into .venv

demo: .venv/.sandbox ## Try Unlatch here, with a local Slack, Entra and Intune
	$(BIN)/python -m sandbox $(DEMO)

quick: .venv/.dev ## Run the unit tests of the rules and adapters, in seconds
	$(BIN)/python -m pytest $(addprefix tests/unit/,domain use_cases slack graph entra) -n 2 --dist loadfile --no-loadscope-reorder

test: check .venv/.browser .venv/.postgres ## Check the code, then run every test
	$(BIN)/python -m pytest tests/unit/domain tests/unit/use_cases --cov=bot.domain --cov=bot.use_cases --cov-branch --cov-fail-under=100 -n 2 --dist loadfile
	$(BIN)/python -m pytest --ignore=tests/unit/domain --ignore=tests/unit/use_cases -n 4 --dist loadfile --no-loadscope-reorder --durations=10

crash: .venv/.dev .venv/.postgres ## Kill the bot at every point and at random, on both databases, and count
	$(BIN)/python -m tests.proofs.crash_and_race crash $(CRASH)

race: .venv/.dev .venv/.postgres ## Let people decide at the same moment on two replicas, and count
	$(BIN)/python -m tests.proofs.crash_and_race race $(RACE)

fuzz: .venv/.dev ## Send inputs to every entry point that no vendor would send, and count what broke
	$(BIN)/python -m tests.proofs.fuzz $(FUZZ)

mutants: .venv/.postgres ## Change one thing at a time in what holds a promise, and see a test fail
	$(BIN)/python -m tests.proofs.mutants $(MUTANTS)

walk: .venv/.dev ## Install and operate a clone in an empty folder, by the documents' own commands
	$(BIN)/python -m tests.proofs.walk

bench: .venv/.dev .venv/.postgres .tools/production/.done ## Measure the bot beside references on this machine, and write the figures down
	$(BIN)/python -m benchmarks $(BENCH)

bench-quick: .venv/.dev .venv/.postgres .tools/production/.done ## Measure one short round
	$(BIN)/python -m benchmarks --quick $(BENCH)

axe: .venv/.browser ## Let axe look at every state of the pages in every size and colour
	AXE=all $(BIN)/python -m pytest -q tests/browser -k axe

check: .venv/.dev .tools/audit/.done ## Style, types, import contracts, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit .tools/audit/bin/pip-audit requirements.txt

screenshots: .venv/.browser ## Draw the pictures of the README again
	PICTURES=docs/pictures $(BIN)/python -m pytest -q tests/browser -k only_the_requester_sees

COMPILE = $(UV) pip compile --universal --generate-hashes --no-emit-index-url --no-header --quiet

lock: .venv/.python ## Lock the newest dependencies, with hashes and without a registry's address
	$(COMPILE) pyproject.toml --upgrade --output-file requirements.txt
	$(COMPILE) pyproject.toml --extra build --extra sandbox --constraint requirements.txt --output-file requirements/sandbox.txt
	$(COMPILE) pyproject.toml --extra build --extra sandbox --extra dev --constraint requirements/sandbox.txt --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --extra build --extra sandbox --extra dev --extra postgres --constraint requirements/dev.txt --output-file requirements/postgres.txt
	echo editables hatchling | xargs -n 1 | $(COMPILE) - --constraint requirements/sandbox.txt --output-file requirements/build.txt
	echo uv | $(COMPILE) - --upgrade --output-file requirements/uv.txt
	$(COMPILE) .ci/audit.in --upgrade --output-file .ci/audit.txt

clean: ## Remove what was fetched and made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(CURDIR)/.tools/bin/uv: requirements/uv.txt
	@$(PYTHON_IS_NEW)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target .tools --require-hashes -r $< \
	  || { $(PYTHON) -m venv --clear .tools && .tools/bin/pip install --quiet --require-hashes -r $<; }
	@touch $@

PYTHON_IS_NEW = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Unlatch needs Python 3.11 or newer; set PYTHON=…"; exit 1; }
VERSION = -c 'import sys; print(sys.version)'

# Made anew, with all that is in it, where its interpreter is gone or another one is wanted.
.venv/.python: FORCE | $(UV)
	@is_of() { [ "$$($$1 $(VERSION) 2>/dev/null)" = "$$(cat $@)" ]; }; \
	[ -s $@ ] && is_of .venv/bin/python && is_of $(WANTED) || { \
	  $(PYTHON_IS_NEW); \
	  base="$$($(PYTHON) -c 'import sys; print(sys._base_executable)')"; \
	  rm -rf .venv; \
	  $(UV) venv --quiet --python "$$base" .venv; \
	  .venv/bin/python $(VERSION) > $@; }

FORCE:

# The package itself is built without isolation, by the locked build backend.
INSTALL_SELF = $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .

.venv/.runtime: requirements.txt requirements/build.txt pyproject.toml .venv/.python
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt -r requirements/build.txt
	$(INSTALL_SELF)
	@touch $@

.venv/.sandbox: requirements/sandbox.txt .venv/.runtime
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/sandbox.txt
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.sandbox
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.txt
	$(INSTALL_SELF)
	@touch $@

.venv/.postgres: requirements/postgres.txt .venv/.dev
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
	  || $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements/postgres.txt
	bash tests/support/get-pgbouncer
	@touch $@

# Debian's package where apt and root are at hand, Playwright's own browser otherwise.
.venv/.browser: .venv/.dev
	PYTHON=$(BIN)/python bash tests/browser/get-chromium
	@touch $@

# What is measured runs as it is deployed, without the libraries of the tests.
.tools/production/.done: requirements.txt .venv/.python
	rm -rf .tools/production
	$(UV) venv --quiet --python .venv/bin/python .tools/production
	$(UV) pip install --quiet --python .tools/production/bin/python --require-hashes -r requirements.txt
	@touch $@

# Vulnerabilities are looked up by a tool in an environment of its own.
.tools/audit/.done: .ci/audit.txt .venv/.python
	rm -rf .tools/audit
	$(UV) venv --quiet --python .venv/bin/python .tools/audit
	$(UV) pip install --quiet --python .tools/audit/bin/python --require-hashes -r .ci/audit.txt
	@touch $@
