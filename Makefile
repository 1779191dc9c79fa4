# What the README says; .ci/run and .github/workflows/ci.yml call the same.

# The first of these that runs. `make setup PYTHON=/path/to/python3.11` takes another.
PYTHON ?= $(shell python3.11 -c 'import sys; print(sys.executable)' 2>/dev/null || command -v python3 || echo python3.11)
# More for pytest: `make test ARGS="-k gate"`.
ARGS ?=

# The tools of .venv first; without compiled files every import takes twice as long.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
export ZENML_ANALYTICS_OPT_IN := false
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help setup stack registered demo test test-kubeflow check dashboard mlflow kubeflow-up kubeflow-down monitoring-up monitoring-down own-store images bench lock clean

help:       ## list the targets
	@sed -n 's/^\([a-z-]*\): .*## /make \1\t/p' Makefile | expand -t 24

setup:      ## build .venv, .venv-serving and .venv-mlserver from their lock files; nothing to do, nothing done
	@$(PYTHON) stacks/environments.py setup

stack: setup     ## make ZenML's local stack agree with stacks/local.yaml
	python -m stacks.apply stacks/local.yaml

# What a stack was registered with, such as whom to tell, stays as it is: only `make stack` changes it.
registered: setup
	python -m stacks.apply stacks/local.yaml --if-absent

demo: registered ## train on 3,000 product pictures, evaluate, gate, register, deploy, classify
	python run.py --config configs/demo --source data/first-delivery.zip --train --deploy --predict data/photos/*.png

test: setup      ## run every test, but those of the remote stack
	python -m pytest -n 3 --no-loadscope-reorder --ignore=tests/kubeflow $(if $(SHUTTERLINE_CI),-p tests.plugin_skips) $(ARGS)

test-kubeflow: setup ## run every pipeline on the remote stack
	python -m pytest -n 2 --timeout 1800 --no-loadscope-reorder tests/kubeflow $(if $(SHUTTERLINE_CI),-p tests.plugin_skips) $(ARGS)

check: setup     ## lint with security rules, format, types, import direction, secrets
	ruff check .
	ruff format --check .
	mypy .
	python -m pytest -q tests/test_imports.py tests/test_secrets.py

dashboard: own-store registered ## start ZenML's dashboard on loopback and print its address
	ZENML_DAEMON_SERVER_TIMEOUT=300 zenml login --local

kubeflow-up: setup ## start the remote stack on this machine, on loopback; print how to use it
	python -m tests.remote up $(ARGS)

kubeflow-down: setup ## end it
	python -m tests.remote down $(ARGS)

monitoring-up: setup ## start Prometheus, Alertmanager and the exporter on loopback; print their addresses
	python -m observability up $(ARGS)

monitoring-down: setup ## end them
	python -m observability down $(ARGS)

images: setup    ## build the images of steps and of the service: `make images ARGS=--push`
	python -m stacks.images build $(ARGS)

mlflow: own-store registered ## show what the local stack's trainings left in MLflow, on loopback: `make mlflow ARGS="--port 5001"`
	mlflow server --host 127.0.0.1 --backend-store-uri "$$(python -m stacks.tracking)" $(ARGS)

own-store:
	@test -z "$$ZENML_STORE_URL" || { echo "The dashboard of this terminal's ZenML server is $$ZENML_STORE_URL"; exit 2; }

bench: setup     ## measure the claims: `make bench ARGS="main --quick"`
	python -m benchmarks $(ARGS)

lock:            ## make the lock files anew from requirements.txt and serving's
	@$(PYTHON) stacks/environments.py lock

clean:           ## delete the environments and the caches of the tools
	rm -rf .venv .venv-serving .venv-mlserver .mypy_cache .ruff_cache .pytest_cache .hypothesis
