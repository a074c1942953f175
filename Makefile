# rosac: `make train` trains a simulated robot, `make test` runs the tests. `make help` lists everything.

PYTHON ?= python3
VENV ?= .venv
STACK ?= dclaw_valve
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup test train lint clean

help:
	@echo "make setup   set up $(VENV): Python packages, ROS 2 and the built workspace (2 to 10 minutes, then 0.1 s)"
	@echo "make train   train: STACK=$(STACK) STEPS= SEED= RUN= are passed on to 'rosac train'"
	@echo "make test    run the tests, two at a time; ARGS='-k gate' is passed on to pytest, '-n 0' takes one at a time"
	@echo "make lint    check style and formatting"
	@echo "make clean   remove $(VENV) and built files; runs/ stays"
	@echo
	@echo "Variables: PYTHON=$(PYTHON) (3.11 to 3.13)  VENV=$(VENV)"
	@echo "ROS 2 is the sourced installation, else wheels: jazzy, or 'ROS_DISTRO=kilted make test'."

setup:
	@$(PYTHON) scripts/setup_env.py --venv $(VENV)

test: setup
	$(VENV)/bin/python -m pytest -n 2 $(ARGS)

train: setup
	$(VENV)/bin/rosac train $(STACK) $(if $(STEPS),steps:=$(STEPS)) $(if $(SEED),seed:=$(SEED)) $(if $(RUN),run:=$(RUN)) $(ARGS)

lint: setup
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check

clean:
	@$(PYTHON) scripts/setup_env.py --venv $(VENV) --clean
	rm -rf ros2_ws/build ros2_ws/install ros2_ws/log .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks launch scripts -name __pycache__ -type d -prune -exec rm -rf {} +
