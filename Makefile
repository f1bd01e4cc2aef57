PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run setup servers test lint audit bench bench-sync bench-peers fuzz docs lock clean

# A gate with a demo origin on this machine, and commands to try. Ctrl-C stops it.
run: setup
	@$(BIN)/gate demo

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gate needs Python 3.11 or later as $(PYTHON); name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv; \
		else echo "Python's venv module is missing; install it: sudo apt-get install python3-venv"; exit 2; fi
	@test -x $(BIN)/pip || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock:
	$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --all-extras --no-header --no-annotate --no-emit-index-url -o requirements.lock pyproject.toml

# The programs that tests drive: started by the tests themselves, on free ports of the loopback.
SERVERS := apache2-bin chromium curl faketime golang-go haproxy libnginx-mod-stream nats-server \
	nginx nodejs openssl postgresql prometheus systemd wrk

servers:
	@missing=; for package in $(SERVERS); do \
		dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || \
			missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "programs that the tests drive are missing; install them: sudo apt-get install$$missing"; exit 2; fi; \
	export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends $$missing

test: setup servers
	$(BIN)/pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Known vulnerabilities of the dependencies, as far as the index can be asked.
audit: setup
	@$(BIN)/python .ci/audit $(BIN)/pip-audit

# The cost of a lookup beside a dict, a bare cache and a bare LMDB; options in ARGS.
bench: setup
	$(BIN)/python -m benchmarks.lookup $(ARGS)

# The sync: pushes, snapshots, catching up, many gates (see benchmarks/README.md); options in ARGS.
bench-sync: setup
	$(BIN)/python -m benchmarks.sync $(ARGS)

# The gate beside HAProxy, nginx and Envoy (see benchmarks/README.md); options in ARGS.
bench-peers: setup
	command -v haproxy >/dev/null && command -v nginx >/dev/null && command -v wrk >/dev/null && \
		test -e /usr/lib/nginx/modules/ngx_stream_module.so || \
		apt-get install -y -q haproxy nginx libnginx-mod-stream wrk
	$(BIN)/python -m benchmarks.side_by_side $(ARGS)

# Fuzz the parsers that read the network (see gate/docs/fuzzing.md); options in ARGS.
fuzz: setup
	$(BIN)/python -m tests.fuzz.run $(ARGS)

# The files that are written from the code: config/gate.yaml and gate/docs/*.md.
docs: setup
	$(BIN)/python -m gate.documents

clean:
	rm -rf $(VENV) .run .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
