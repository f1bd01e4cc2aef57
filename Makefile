PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup lock test lint clean bench-peers

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

lock:
	$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --all-extras --no-header --no-annotate --no-emit-index-url -o requirements.lock pyproject.toml

test: setup
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The gate beside HAProxy, nginx and Envoy (see benchmarks/README.md); options in ARGS.
bench-peers: setup
	command -v haproxy >/dev/null && command -v nginx >/dev/null && command -v wrk >/dev/null && \
		test -e /usr/lib/nginx/modules/ngx_stream_module.so || \
		apt-get install -y -q haproxy nginx libnginx-mod-stream wrk
	$(BIN)/python -m benchmarks.side_by_side $(ARGS)

clean:
	rm -rf $(VENV) .run .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
