# `make demo` and `make test` need git, make and Python 3.11 or newer; everything else they fetch into .venv.

BIN := .venv/bin

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## make .venv with everything that uv.lock names; quick when nothing changed
	@scripts/setup.sh

.PHONY: warm
warm: setup  ## compile the kernels, a minute or so the first time
	@$(BIN)/python -m chalkmark.engine.warm

.PHONY: demo
demo: warm  ## start Chalkmark and a small fleet of real services, until Ctrl-C
	@$(BIN)/python -m demo

.PHONY: test
test: setup lint  ## lint, then run all tests
	$(BIN)/pytest

.PHONY: lint
lint: setup  ## style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docs
docs: setup  ## write the generated pages of docs/ anew
	$(BIN)/python -m chalkmark.cli.reference docs

.PHONY: bench
bench: setup  ## run all benchmarks; each prints JSON
	@for file in $$(grep -l __main__ bench/*.py); do $(BIN)/python -m bench.$$(basename $$file .py) || exit 1; done

.PHONY: wheel
wheel: setup  ## build dist/chalkmark-*.whl
	@scripts/uv.sh build --wheel --out-dir dist

.PHONY: clean
clean:  ## remove everything that was made, .venv and the demo's data too
	rm -rf .venv .uv .demo dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests demo bench -name __pycache__ -type d -exec rm -rf {} +
