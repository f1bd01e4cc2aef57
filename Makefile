PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Where it is set, every start of a gate would compile all of its modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run setup servers check unit test lint dist audit bench bench-sync bench-peers bench-quic bench-transparent fuzz sanitise differential soak docs lock clean

# A gate with a demo origin on this machine, and commands to try. Ctrl-C stops it.
run: setup
	@$(BIN)/gate demo

setup: $(VENV)/.ready gate/native/.built

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "gate needs Python 3.11 or later as $(PYTHON); name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq python3-venv; \
		else echo "Python's venv module is missing; install it: sudo apt-get install python3-venv"; exit 2; fi
	@test -x $(BIN)/pip || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV); }
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.txt  # several times as fast as pip
	$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $(VENV)/uv.txt
	@# uv reads neither pip's settings nor, unasked, the system's certificates: a mirror, a proxy's CA.
	@index=$$($(BIN)/pip config list | sed -n "s/^[^=]*\.index-url='\(.*\)'$$/\1/p" | tail -n 1); \
		$(BIN)/uv pip install -q --system-certs $${index:+--default-index "$$index"} --python $(BIN)/python \
			--require-hashes --compile-bytecode -r requirements.lock 2>$(VENV)/uv.log || \
		$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The native data plane (gate/native). Without a compiler the Python one does the same, for more CPU.
gate/native/.built: $(VENV)/.ready hatch_build.py $(wildcard gate/native/*.pyx gate/native/*.pxd)
	@command -v cc >/dev/null && $(BIN)/python -c 'import pathlib, sysconfig; \
		exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' || \
		{ test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends gcc libc6-dev python3-dev; } || true
	@if $(BIN)/python hatch_build.py; then touch $@; fi

lock:
	$(BIN)/uv pip compile -q --generate-hashes --universal --python-version 3.11 --all-extras --no-header --no-annotate --no-emit-index-url -o requirements.lock pyproject.toml

# The programs that tests drive: started by the tests themselves, on free ports of the loopback.
SERVERS := apache2-bin chromium curl exim4-daemon-light faketime golang-go haproxy iproute2 libnginx-mod-stream nats-server \
	nftables nginx ngtcp2-client ngtcp2-server nodejs openssl postgresql prometheus systemd systemd-container wrk

servers:
	@missing=; for package in $(SERVERS); do \
		dpkg-query -W -f='$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || \
			missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" != 0 ]; then \
		echo "programs that the tests drive are missing; install them: sudo apt-get install$$missing"; exit 2; fi; \
	export DEBIAN_FRONTEND=noninteractive; apt-get update -qq && \
		apt-get install -y -qq --no-install-recommends $$missing

# Options of pytest in ARGS. Many tests wait more than they work: two at a time for each core.
CORES := $(shell nproc)
SHARED_OUT := -n $$(($(CORES) < 4 ? 2 * $(CORES) : 8)) --dist worksteal

test: setup servers
	$(BIN)/pytest $(SHARED_OUT) $(ARGS)

# All that needs no server, in a minute: while you write.
check: setup
	@$(MAKE) --no-print-directory -j2 -Otarget lint unit

# The unit and property tests, with fewer examples than `make test`.
unit: setup
	$(BIN)/pytest $(SHARED_OUT) -m "not programs" --quick $(ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/python -m gate.docs.generate --check

# The wheel and its pinned requirements, for config/install.sh.
DIST ?= dist
dist: setup
	@rm -rf $(DIST)
	@$(BIN)/python -m hatchling build -t wheel -d $(DIST)
	@$(BIN)/uv pip compile -q --constraint requirements.lock --generate-hashes --universal \
		--python-version 3.11 --no-header --no-annotate --no-emit-index-url \
		-o $(DIST)/requirements.txt pyproject.toml

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

# QUIC beside sing-box, nginx's stream module and Envoy (see benchmarks/README.md); options in ARGS.
bench-quic: setup
	command -v nginx >/dev/null && test -e /usr/lib/nginx/modules/ngx_stream_module.so || \
		apt-get install -y -q nginx libnginx-mod-stream
	$(BIN)/python -m benchmarks.quic $(ARGS)

# In front of hosts, beside HAProxy and nginx (see benchmarks/README.md); takes root; options in ARGS.
bench-transparent: setup
	command -v haproxy >/dev/null && command -v ip >/dev/null && command -v nft >/dev/null && \
		command -v nginx >/dev/null && command -v wrk >/dev/null && \
		test -e /usr/lib/nginx/modules/ngx_stream_module.so || \
		apt-get install -y -q haproxy iproute2 libnginx-mod-stream nftables nginx wrk
	$(BIN)/python -m benchmarks.transparent $(ARGS)

# Fuzz the parsers that read the network (see gate/docs/fuzzing.md); options in ARGS.
fuzz: setup
	$(BIN)/python -m tests.fuzz.run $(ARGS)

# The compiled parsers beside the Python ones, 10,000,000 taken inputs each; options in ARGS.
differential: setup
	$(BIN)/python -m tests.native.differential $(ARGS)

# The compiled data plane under ASan and UBSan, with each index checked; options of pytest in ARGS.
sanitise: setup
	@.ci/sanitised $(BIN)/python $(ARGS)

# A running gate under load, changes and faults (see gate/docs/robustness.md); options in ARGS.
soak: setup servers
	$(BIN)/python -m tests.soak $(ARGS)

# The files that are written from the code: config/gate.yaml and gate/docs/*.md.
docs: setup
	$(BIN)/python -m gate.docs.generate

clean:
	rm -rf gate/native/*.so gate/native/.built .build $(VENV) .run .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
