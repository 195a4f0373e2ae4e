# Everything runs in an environment of its own, `.venv`.
# Each target works alone, in any order, twice.

ALL := torch,page,report,train,metrics,remote,onnx,test,dev
# without torch, plots and what this project checks itself with
SMALL := page,metrics,remote,test
STAMP := .venv/.installed

# the stamp's first line is the folder that the environment was made in, its second the kind
MADE_IN := $(shell [ -x .venv/bin/python ] && sed -n 1p $(STAMP) 2>/dev/null)
MADE_AS := $(shell sed -n 2p $(STAMP) 2>/dev/null)
# `make demo` works with what is there; all else is whole unless LIGHT=1 is said
ifeq ($(MAKECMDGOALS)$(MADE_AS),demolight)
LIGHT ?= 1
endif
KIND := $(if $(LIGHT),$(if $(filter whole,$(MADE_AS)),whole,light),whole)
EXTRAS := $(if $(filter light,$(KIND)),$(SMALL),$(ALL))
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
INSTALL := --constraint constraints.txt --editable '.[$(EXTRAS)]'

# a process a core, each with a database server of its own, whole files at a time
PYTEST := OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist loadfile

# other test files import torch or what else the light installation leaves out
MARKED_LIGHT = $(shell grep -rlF pytest.mark.light tests --include='test_*.py')

# uv trusts the certificates that the machine trusts: a proxy may sign with its own
export UV_SYSTEM_CERTS ?= 1

# the first interpreter that is new enough; `make install PYTHON=python3.12` names another
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	if $$name -c '$(NEW_ENOUGH)' 2>/dev/null; then command -v $$name; break; fi; done)

.DEFAULT_GOAL := help
.PHONY: help install demo test test-long check clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) ## make the environment in .venv (LIGHT=1: without torch); no time when nothing changed

demo: install ## the whole way on drawn people: database, ingest, search, exports, pictures
	@.venv/bin/python scripts/demo.py

test: install ## the tests that take minutes at most
	$(PYTEST) $(if $(LIGHT),-m light $(MARKED_LIGHT),-m "not long")

test-long: install ## the longer ones: fuzzing, kills
	$(PYTEST) -m long

check: install ## format, lint, types, import contracts, documentation
	@scripts/check

# the empty URL keeps a server that .env names out of this
clean: ## stop the demo's database; remove the demo and the environment
	@if [ -d demo ] && [ -x .venv/bin/python ]; then \
		find "$$PWD/demo" -name postmaster.pid | while IFS= read -r file; do \
			home=$$(dirname "$$(dirname "$$file")"); \
			REID_DATABASE_URL= REID_HOME="$$home" .venv/bin/python cli.py db stop </dev/null || exit 1; \
		done; \
	fi
	rm -rf demo .venv build reid_search.egg-info

# scripts in an environment name the folder that it was made in: a moved clone makes it anew; and a
# light one is filled up when a whole one is asked for
ifneq ($(MADE_IN),$(CURDIR))
.PHONY: $(STAMP)
else ifeq ($(MADE_AS)$(KIND),lightwhole)
.PHONY: $(STAMP)
endif

# venv comes with Python; uv is taken from PyPI where it is missing, into the environment itself;
# where uv cannot reach an index, pip may, by settings of its own
$(STAMP): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	if ! "$${python:-false}" -c '$(NEW_ENOUGH)' 2>/dev/null; then \
		echo "make install: no Python 3.11 or newer was found ($$("$${python:-python3}" --version 2>&1));" \
			"install one, or name it: make install PYTHON=python3.12" >&2; \
		exit 1; \
	fi; \
	if [ -f $(STAMP) ] && [ "$$(sed -n 1p $(STAMP))" != "$(CURDIR)" ]; then rm -rf .venv; fi; \
	if ! .venv/bin/python -c '$(NEW_ENOUGH)' 2>/dev/null; then \
		rm -rf .venv; \
		echo "making .venv with $$("$$python" --version)"; \
		"$$python" -m venv --without-pip .venv || exit 1; \
	fi; \
	with_pip() { \
		if .venv/bin/python -m ensurepip >/dev/null 2>&1; then \
			.venv/bin/python -m pip install "$$@"; \
		else \
			"$$python" -m pip --python .venv/bin/python install "$$@"; \
		fi; \
	}; \
	uv=uv; \
	$$uv --version >/dev/null 2>&1 || uv=.venv/bin/uv; \
	if ! $$uv --version >/dev/null 2>&1; then \
		echo "fetching uv"; \
		with_pip --quiet --constraint constraints.txt uv; \
	fi; \
	if ! $$uv pip install --python .venv/bin/python --build-constraint constraints.txt $(INSTALL); then \
		echo "uv did not succeed, trying pip" >&2; \
		with_pip $(INSTALL) || exit 1; \
	fi; \
	printf '%s\n%s\n' "$(CURDIR)" "$(KIND)" > $(STAMP)
