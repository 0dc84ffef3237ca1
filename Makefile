# Two commands on a fresh machine: `make demo` and `make test`. Everything they need goes into this folder.
# Setting up is the work of tools/bootstrap.py; a second run finds it done.

PYTHON ?= python3
UV ?= uv
ARGS ?=

# Debian keeps mosquitto in sbin, which is not on everybody's path.
export PATH := $(PATH):/usr/sbin:/sbin
export LOUDONG_PYTHON := $(PYTHON)
# Images for containers set it, and each of the thousand processes that tests start would compile all there is.
unexport PYTHONDONTWRITEBYTECODE

ready = command -v $(PYTHON) >/dev/null || { echo "loudong: $(PYTHON) is missing; on Debian and Raspberry Pi OS: sudo apt-get install python3 python3-pip" >&2; exit 69; }; $(PYTHON) tools/bootstrap.py
lock = $(UV) pip compile --quiet --upgrade pyproject.toml

.PHONY: help setup demo test search bench torture check sbom audit fuzz format lock clean
.NOTPARALLEL:

help:
	@echo 'make demo [ARGS="--for 90s --json"]   a simulated compound, live; no root, no broker, no hardware'
	@echo 'make test [ARGS="tests/rules -x"]     every test, with what they need of the system'
	@echo 'make search [ARGS="tests/rules"]       every property with cases that nobody has seen yet; no part of CI'
	@echo 'make bench [ARGS="--quick core rtu"]  what it costs and how quick it is, with baselines; about half an hour'
	@echo 'make torture [ARGS="--quick --resume"] every fault we know, counted; hours, or minutes with --quick'
	@echo 'make check                            style, types, import contracts, documents'
	@echo 'make setup                            only what the daemon needs, into .venv'
	@echo 'make fuzz [ARGS="--minutes 5"]        every decoder and door with hostile bytes, from the corpus in tests/fuzz'
	@echo 'make sbom | audit                     what is in it, with licences (build/sbom.json) | known weaknesses of it'
	@echo 'make format | lock | clean            write in style | resolve dependencies anew (needs uv) | forget environments'

setup:
	@$(ready) run

demo:
	@$(ready) demo
	@.venv/bin/loudong demo $(ARGS)

# Twice as many at once as a small machine has cores: most of what takes long waits for processes and lines.
test:
	@$(ready) packages test
	@.venv/bin/python -m pytest -n 4 --dist worksteal $(ARGS)

# What it finds is a test to write down (an @example, a row of a table); `make test` draws the same cases every time.
search:
	@$(ready) packages test
	@.venv/bin/python -m pytest -n 2 --dist worksteal -m hypothesis --hypothesis-profile=search $(ARGS)

# Prints and keeps build/bench.json; times decide nothing. Wants a quiet machine.
bench:
	@$(ready) packages test
	@.venv/bin/python -m bench $(ARGS)

# Prints and keeps build/torture.json. Wants root and strace for the disk's faults, Mosquitto and a D-Bus daemon.
torture:
	@$(ready) packages test
	@PYTHONPATH=tests .venv/bin/python -m faults.torture $(ARGS)

# Every checker speaks, even when one before it has complained.
check:
	@$(ready) test check
	@bad=0; \
	.venv-check/bin/ruff check . || bad=1; \
	.venv-check/bin/ruff format --check . || bad=1; \
	.venv-check/bin/mypy --python-executable .venv/bin/python || bad=1; \
	.venv-check/bin/lint-imports --no-logo || bad=1; \
	for part in dependencies words links tree; do .venv/bin/python tools/check_$$part.py || bad=1; done; \
	exit $$bad

sbom:
	@$(ready) run; mkdir -p build
	@.venv/bin/python tools/bill.py > build/sbom.json && echo build/sbom.json

# Coverage-guided where atheris is in .venv (pip --python .venv/bin/python install atheris), else mutations of the corpus.
fuzz:
	@$(ready) test
	@PYTHONPATH=tests .venv/bin/python -m fuzz $(ARGS)

# pip-audit has an environment of its own. Exit code 75 (of make: 2) is no verdict, not "clean"; docs/dependencies.md says what is asked.
# Not part of CI, whose verdict must not change over night.
audit:
	@[ -x .venv-audit/bin/pip-audit ] || { $(PYTHON) -m venv --without-pip .venv-audit && $(PYTHON) -m pip --python .venv-audit/bin/python install --quiet pip-audit; }
	@$(PYTHON) tools/audit.py .venv-audit/bin/pip-audit

format:
	@$(ready) check
	@.venv-check/bin/ruff check --fix --quiet . ; .venv-check/bin/ruff format .

# Each lock holds all of the one before, in the same versions.
lock:
	@command -v $(UV) >/dev/null || { echo "loudong: uv is missing; have it from your distribution or from pip" >&2; exit 69; }
	@$(lock) -o requirements/run.txt
	@$(lock) --extra demo -c requirements/run.txt -o requirements/demo.txt
	@$(lock) --extra demo --extra test -c requirements/demo.txt -o requirements/test.txt
	@$(UV) pip compile --quiet --upgrade --group check -c requirements/test.txt -o requirements/check.txt
	@$(ready) check
	@.venv/bin/python tools/bill.py licences > requirements/licences.new && mv requirements/licences.new requirements/licences.txt

clean:
	@rm -rf .venv .venv-check .venv-audit .node build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
