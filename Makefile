# The project's commands; `make` alone lists them. Works with GNU make from 3.81 on.

SHELL := /bin/sh
PORT ?= 8000
VENV := .venv/bin
# The first Python on the PATH that is new enough; `make PYTHON=…` overrides.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo "$$candidate"; break; }; done)

# pip's settings reach it through the environment; nothing here names a package index.
# Modules are kept compiled, whatever the shell says: a demo or a test run starts many processes.
export PYTHONDONTWRITEBYTECODE :=
# Only for checks that need some settings to start; nothing is encrypted with them.
CHECK_SETTINGS = ENV_FILE= DEBUG=false DATA_DIR=var/check PUBLIC_URL=https://backup.example.org \
	SECRET_KEY=for-make-check-only-0123456789-abcdefghijklmnopqrstuvwxyz \
	FIELD_KEYS=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=

.DEFAULT_GOAL := help
.PHONY: help demo run test test-postgres slow scaleout chaos histories bench check format test-deps pins clean python runtime demo-tools dev-tools

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: demo-tools ## a complete backup of a made-up Google account, proved; ONCE=1 exits after it
	@$(VENV)/python -m scripts.demo --port $(PORT) $(if $(ONCE),--once) $(if $(FRESH),--fresh)

run: runtime ## set up for real use and start: web pages and workers, until Ctrl-C
	@$(VENV)/python -m scripts.run --port $(PORT)

test: dev-tools ## every test that can run on this machine
	@$(VENV)/python -m pytest -n $(or $(JOBS),4) --dist worksteal $(ARGS)

test-postgres: dev-tools ## the engine's tests once more, on a throw-away PostgreSQL
	@$(VENV)/python -m tests.servers.run_on_postgres tests/engine $(ARGS)

slow: dev-tools ## the long tests: kills, scale
	@$(VENV)/python -m pytest -m slow $(ARGS)

scaleout: dev-tools ## several hosts on one database: one killed, one cut off (needs root)
	@$(VENV)/python -m pytest -m slow tests/scaleout $(ARGS)

chaos: dev-tools ## SEEDS=100 of random faults and kills during backups; SEED=7 one again
	@$(VENV)/python -m tests.chaos --seeds $(or $(SEEDS),100) --files $(or $(FILES),5000) \
		$(if $(SEED),--seed $(SEED))

histories: dev-tools ## HISTORIES=2000 random ones, with kills, against what is promised
	@HISTORIES=$(or $(HISTORIES),2000) SEED=$(SEED) $(VENV)/python -m pytest -m slow \
		-n $(or $(JOBS),2) --dist worksteal tests/engine/histories $(ARGS)

bench: dev-tools ## against rclone: writes bench/RESULTS.md; CASES="small-30ms big", SCALE=0.1
	@$(VENV)/python -m bench $(CASES) $(if $(SCALE),--scale $(SCALE))

check: dev-tools ## lint, format, types, layers, migrations, deployment settings, sizes
	@$(VENV)/ruff check --quiet .
	@$(VENV)/ruff format --check --quiet . || { echo "run: make format" >&2; exit 1; }
	@$(VENV)/mypy
	@$(VENV)/lint-imports --no-cache >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }
	@$(CHECK_SETTINGS) $(VENV)/python manage.py makemigrations --check --dry-run
	@$(CHECK_SETTINGS) $(VENV)/python manage.py check --deploy --fail-level WARNING
	@$(VENV)/python -m pytest -p no:randomly tests/test_architecture.py

format: dev-tools ## mend format and what lint can mend
	@$(VENV)/ruff check --quiet --fix .; $(VENV)/ruff format --quiet .

test-deps: ## install what tests need beside Python packages (Debian, Ubuntu)
	@sh scripts/test-deps.sh

pins: python ## rewrite the lower half of the requirements files (upkeep; needs the package index)
	@$(PYTHON) scripts/pin.py

clean: ## remove caches, the virtual environment and the demo; your data stays
	@rm -rf .venv staticfiles var/demo var/check .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

python:
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed and not on the PATH;" \
		"on Debian or Ubuntu: sudo apt-get install python3 python3-venv" >&2; exit 1; }

runtime: python
	@$(PYTHON) scripts/install.py requirements.txt

demo-tools: python
	@$(PYTHON) scripts/install.py requirements-demo.txt

dev-tools: python
	@$(PYTHON) scripts/install.py requirements-dev.txt
