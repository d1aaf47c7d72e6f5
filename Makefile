# Two verbs matter: check and test. Needs git, make, python3 (>= 3.11) and python3-venv, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := -m pip --quiet --disable-pip-version-check --no-input install
CODE := agent center collectors wire
ALL_CODE := $(CODE) bench tests docs/examples
SOURCES := pyproject.toml README.md LICENSE $(shell find $(CODE) config -type f -not -name '*.pyc' 2>/dev/null)
WHEEL := dist/edgepost.stamp
ARGS ?=
PYTEST_ARGS ?=

SAMPLES := $(realpath ../shared/samples)
ifneq ($(SAMPLES),)
export EDGEPOST_SAMPLES ?= $(SAMPLES)
endif

.PHONY: help demo test check bench soak fuzz format lock wheel schema packages clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv-demo/tree.stamp ## see it work, no root needed: make demo ARGS='--seconds 20'
	@.venv-demo/bin/edgepost demo $(ARGS)

test: .venv-wheel/wheel.stamp packages ## build the wheel, install it in an empty environment, test that
	@PYTHONSAFEPATH=1 EDGEPOST_TEST_INSTALLED=1 .venv-wheel/bin/python -m pytest $(PYTEST_ARGS)

check: .venv/stamp ## format, lint, types, import floors, locks
	@.venv/bin/ruff format --check --quiet . >/dev/null || { echo "make format puts these right:"; .venv/bin/ruff format --check --output-format concise .; }
	@.venv/bin/ruff check --quiet .
	@.venv/bin/mypy $(CODE) $(wildcard bench)
	@PYTHONPATH=. .venv/bin/lint-imports --no-cache
	@PYTHONPATH=. .venv/bin/python -m pytest -q tests/test_project.py tests/test_docs.py

bench: .venv-wheel/wheel.stamp packages ## measure the whole agent beside rsyslog and syslog-ng; RECORD=1 makes docs/performance.md anew
	@.venv-wheel/bin/python bench/run.py $(if $(RECORD),--record) $(ARGS)

soak: .venv-wheel/wheel.stamp packages ## hours instead of minutes: kills, floods, outages
	@PYTHONSAFEPATH=1 EDGEPOST_TEST_INSTALLED=1 EDGEPOST_RELIABILITY=docs/reliability.md \
	    .venv-wheel/bin/python -m pytest -m soak --timeout 0 $(PYTEST_ARGS)

fuzz: .venv-wheel/wheel.stamp ## mutations with atheris, 20 minutes; make fuzz PYTEST_ARGS='-k thousands' takes two
	@.venv-wheel/bin/python $(PIP) --require-hashes -r requirements/fuzz.txt
	@PYTHONSAFEPATH=1 EDGEPOST_TEST_INSTALLED=1 .venv-wheel/bin/python -m pytest -m fuzz --timeout 0 $(PYTEST_ARGS) tests/fuzz

format: .venv/stamp ## put format and simple lint right
	@.venv/bin/ruff check --quiet --fix-only .
	@.venv/bin/ruff format .

lock: .venv/stamp ## resolve requirements/*.txt anew from pyproject.toml (UPGRADE=1 takes newer versions)
	@export UV_CUSTOM_COMPILE_COMMAND="make lock"; \
	lock() { cp -p requirements/$$1.txt requirements/$$1.old; \
	    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	    --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade) -o requirements/$$1.txt "$${@:2}"; \
	    cmp -s requirements/$$1.txt requirements/$$1.old && mv requirements/$$1.old requirements/$$1.txt || rm requirements/$$1.old; }; \
	lock run pyproject.toml; \
	lock demo pyproject.toml --extra demo --group build -c requirements/run.txt; \
	lock dev pyproject.toml --extra demo --group dev -c requirements/demo.txt; \
	lock fuzz --group fuzz

schema: .venv/stamp ## write config/schema.json from the settings
	@PYTHONPATH=. .venv/bin/python -m agent.settings --schema > config/schema.json.new
	@mv config/schema.json.new config/schema.json

wheel: $(WHEEL) ## build dist/edgepost-*.whl
	@ls dist/*.whl

clean: ## remove everything that was built
	rm -rf .venv .venv-demo .venv-wheel dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# ---- environments: a stamp each, so that a second run costs nothing ----

define environment
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "edgepost needs Python 3.11 or newer; '$(PYTHON)' is not: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "$(1): installing $(2)"
	@"$(PYTHON)" -m venv --clear $(1) || { echo "no venv module: apt install python3-venv" >&2; exit 1; }
	@$(1)/bin/python $(PIP) --require-hashes -r $(2)
endef

.venv/stamp: requirements/dev.txt
	$(call environment,.venv,$<)
	@touch $@

.venv-demo/stamp: requirements/demo.txt
	$(call environment,.venv-demo,$<)
	@touch $@

.venv-demo/tree.stamp: .venv-demo/stamp $(SOURCES)
	@.venv-demo/bin/python $(PIP) --no-deps --no-build-isolation --force-reinstall .
	@touch $@

.venv-wheel/stamp: requirements/dev.txt
	$(call environment,.venv-wheel,$<)
	@touch $@

$(WHEEL): .venv-wheel/stamp $(SOURCES)
	@rm -rf dist
	@.venv-wheel/bin/python -m pip --quiet --disable-pip-version-check wheel --no-deps --no-build-isolation -w dist .
	@touch $@

.venv-wheel/wheel.stamp: $(WHEEL)
	@.venv-wheel/bin/python $(PIP) --no-deps --no-index --force-reinstall dist/*.whl
	@touch $@

# ---- what the tests talk to: as root installed (no service is started), else what is on PATH ----

packages:
	@.ci/packages
