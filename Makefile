# Shoal's two commands are `make demo` and `make test`; each does all the set-up itself.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:
MAKEFLAGS += --no-print-directory

PYTHON ?= python3.11
SOURCE ?= simulated
export SOURCE FROM FORCE

VENV := .venv/bin
PACKAGES := settings.py journal.py cli.py orchestrate landing warehouse expectations ml serving
# Tools that do not pass through settings.py are told here to send nothing and to stay inside the checkout.
export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DBT_PROFILES_DIR := $(CURDIR)/dbt_project

.PHONY: help
help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

.PHONY: setup
setup: ## make the environment in .venv (the other commands do it themselves)
	@if ! command -v "$(PYTHON)" >/dev/null; then
	    echo "Shoal needs Python 3.11 and found no $(PYTHON): install it, or name one with make PYTHON=/path/to/python3.11 …" >&2
	    exit 1
	fi
	"$(PYTHON)" orchestrate/install.py

.PHONY: demo
demo: setup ## land a shop's files and run the whole chain under Airflow [SOURCE=simulated|online_retail FROM=<folder>]
	@$(VENV)/python -m orchestrate demo --shop "$$SOURCE" $${FROM:+--folder "$$FROM"}

.PHONY: up
up: setup ## serve the dashboard, Airflow and MLflow on 127.0.0.1, in the background; prints addresses and log-in
	@$(VENV)/python -m orchestrate up

.PHONY: down
down: ## end what `make up` started
	@if [ -x $(VENV)/python ]; then $(VENV)/python -m orchestrate down; fi

.PHONY: test
test: setup ## run all tests that this machine can run; ends with a list of what was skipped and why
	@$(VENV)/python -m pytest -n auto --no-loadscope-reorder

.PHONY: test-all
test-all: ## run all tests, also those of docker-compose.yml; needs Debian's postgresql, redis-server and chromium
	@if ! command -v redis-server >/dev/null || ! command -v chromium >/dev/null || ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
	    echo "the tests start Debian's Postgres, Redis and Chromium: apt-get install postgresql redis-server chromium" >&2
	    exit 1
	fi
	$(MAKE) setup-cluster
	$(VENV)/python -m pytest -n auto --no-loadscope-reorder --deep -m "not cluster"
	$(VENV)/python -m pytest --cluster -m cluster

.PHONY: setup-cluster
setup-cluster: setup
	@"$(PYTHON)" orchestrate/install.py cluster

.PHONY: secrets
secrets: setup ## make the folders and secrets of docker-compose.yml, in cluster/
	@$(VENV)/python -m orchestrate secrets

.PHONY: check
check: setup ## lint, format, types, SQL style and dbt parse
	@set -x
	$(VENV)/ruff check .
	$(VENV)/ruff format --check .
	$(VENV)/mypy $(PACKAGES) dags
	$(VENV)/dbt --quiet --no-use-colors parse --project-dir dbt_project
	$(VENV)/sqlfluff lint --processes 0 dbt_project/models dbt_project/tests

.PHONY: docs
docs: setup ## build the dbt docs and docs/data-model.md
	@$(VENV)/python -m warehouse docs

.PHONY: rebuild
rebuild: setup ## delete a shop's warehouse and make it again from landing and history [SOURCE=simulated]
	@$(VENV)/python -m warehouse rebuild --shop "$$SOURCE"

.PHONY: bench
bench: setup ## remake the tables of the demo, landing, leg 1, recovery, BERT and drift: hours on two cores
	@$(VENV)/python -m benchmarks.demo
	$(VENV)/python -m benchmarks.landing --rows 2000000 20000000
	$(VENV)/python -m benchmarks.dbt_legs --events 1000000 5000000 20000000
	$(VENV)/python -m benchmarks.recovery --seeds 7 11 23 4001 4002
	$(VENV)/python -m benchmarks.encoder --parts texts behaviour tuning memory --shop simulated
	$(VENV)/python -m benchmarks.ablations --shop simulated
	$(VENV)/python -m benchmarks.dashboard
	$(VENV)/python -m benchmarks.readers
	$(VENV)/python -m benchmarks.clustering
	# Small, so its intervals are wide; the README's command takes five shops of 20,000 users.
	$(VENV)/python -m benchmarks.order_signal --seeds 5001 --users 2000 --model-seeds 7 # 3 shops, 4 minutes each
	$(VENV)/python -m benchmarks.drift # 4 shops, 3 minutes each

.PHONY: lock
lock: setup ## resolve pyproject.toml again into requirements.lock
	@echo '# Every package of the environment except torch, which pip installs first. Made by `make lock`; edit pyproject.toml instead.' > .venv/lock
	$(VENV)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --upgrade --no-header --quiet --cache-dir .venv/cache/uv >> .venv/lock
	mv .venv/lock requirements.lock
	echo '# What docker-compose.yml, text vectors in int8 and their tests need beyond requirements.lock. Made by `make lock`; edit pyproject.toml instead.' > .venv/lock
	$(VENV)/uv pip compile pyproject.toml --extra dev --extra cluster --extra int8 --constraint requirements.lock --python-version 3.11 --no-header --quiet --cache-dir .venv/cache/uv | grep -vxFf requirements.lock | grep -v '^openvino-telemetry' >> .venv/lock
	mv .venv/lock requirements-cluster.lock

.PHONY: clean
clean: down ## delete all state except the keys (data/<shop>/secrets)
	@if [ -d data ]; then
	    echo "deleting data/*, keeping data/*/secrets"
	    for entry in data/*; do
	        if [ -d "$$entry/secrets" ]; then
	            find "$$entry" -mindepth 1 -maxdepth 1 ! -name secrets -exec rm -rf {} +
	        else
	            rm -rf "$$entry"
	        fi
	    done
	fi
	echo "deleting caches of tools"
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis dbt_project/target dbt_project/logs logs

.PHONY: distclean
distclean: clean ## also delete the environment
	@echo "deleting .venv"
	rm -rf .venv
