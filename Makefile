# Everything a fresh Debian machine needs comes from here: `make run` and `make test` set up what is missing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PACKAGES := sipp:sip-tester redis-server:redis-server mosquitto:mosquitto tshark:tshark kamailio:kamailio baresip:baresip-core ip:iproute2 promtool:prometheus chromium:chromium systemd-analyze:systemd
MODULES := kamailio-tls-modules kamailio-utils-modules kamailio-json-modules kamailio-sqlite-modules

.PHONY: compiled wheel run test check lint setup programs bench screenshots fuzz soak faults lock deb deb-test \
	systemd-test clean

run: setup
	$(BIN)/guard demo

# Tests wait for sockets and servers more than they compute: four side by side on two cores, each file in one of them.
WORKERS ?= 4

test: setup programs lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
	$(MAKE) compiled

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sip-guard needs Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh scripts/need python3-venv
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -q --no-deps --no-build-isolation -e .
	@touch $@

# Programs that the live tests start as peers. Without root the tests that need a missing one fail and say how to get it.
programs:
	@for pair in $(PACKAGES); do command -v $${pair%%:*} >/dev/null || sh scripts/need $${pair##*:} || true; done
	@for package in $(MODULES); do dpkg -s $$package >/dev/null 2>&1 || sh scripts/need $$package || true; done

# The pure packages compiled by mypyc, in a copy of the project, and their tests run on it.
PURE_TESTS := tests/sip tests/proxy tests/detectors tests/rules tests/numbering tests/state/test_memory.py tests/state/test_tally_order.py tests/state/test_window.py \
	tests/capture tests/net/test_driver.py tests/net/test_help_first.py tests/test_engine.py \
	tests/test_ways.py tests/test_engine_modes.py tests/test_desk.py tests/test_desk_faults.py \
	tests/test_desk_model.py tests/test_desk_resume.py tests/cli/test_help.py

build/compiled/.ready: $(VENV)/.ready scripts/compile.py $(shell find guard sim policies tests -type f -not -name '*.pyc')
	@command -v gcc >/dev/null || sh scripts/need gcc
	@test -e /usr/include/stdio.h || sh scripts/need libc6-dev
	@$(BIN)/python -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' || \
		sh scripts/need python3-dev
	$(BIN)/python scripts/compile.py build/compiled
	@touch $@

compiled: build/compiled/.ready
	cd build/compiled && PYTHONPATH=. ../../$(BIN)/python -m guard.cli.main --version | grep compiled
	cd build/compiled && PYTHONPATH=. ../../$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -p no:cacheprovider \
		-m "not interpreted" $(PURE_TESTS)

wheel: build/compiled/.ready
	$(BIN)/python -m pip wheel -q --no-deps --no-build-isolation -w dist build/compiled

# Three hours on a machine that does nothing else; writes docs/performance-race.md, docs/performance-flat.md and their
# plots. A log of ten million calls is filled first (ten minutes and 10 GB) and kept: LOG=ten.db says where, LOG= leaves
# it out. RACE="--parts calls,most" measures these only, RACE="--hold 3" holds the highest rates for so many seconds.
# FLAT="--rounds 1" is for the last page.
LOG ?= build/ten.db
bench: setup programs build/compiled/.ready
	$(BIN)/python -m sim.bench
	$(BIN)/python -m sim race --write $(if $(LOG),--log $(LOG)) $(RACE)
	$(BIN)/python -m sim flat --write $(FLAT)

# Pictures of every page, of a guard under traffic, for docs/web.md.
screenshots: setup programs
	$(BIN)/python -m tests.web.pages.screenshots docs/screenshots

# FUZZ_RUNS runs more of each target (10000000 takes hours), then the state machines; docs/fuzzing.md says more.
fuzz: setup
	FUZZ_RUNS=$(or $(FUZZ_RUNS),100000) $(BIN)/python -m tests.fuzz.run
	GUARD_FUZZ_GAMES=$(or $(FUZZ_GAMES),1000) $(BIN)/python -m pytest tests/fuzz -q -p no:cacheprovider --timeout=0
	GUARD_SCHEMA_EXAMPLES=$(or $(SCHEMA_EXAMPLES),300) $(BIN)/python -m pytest tests/web/test_schema.py -q -p no:cacheprovider --timeout=0

# kill -9 under calls, FAULTS times on one log (1000 take half an hour), and every other fault once; as root.
faults: setup programs
	GUARD_KILLS=$(or $(FAULTS),1000) $(BIN)/python -m pytest tests/live/test_kills.py tests/live/test_faults.py tests/faults -q -s -p no:cacheprovider --timeout=0

soak: setup programs
	$(BIN)/python -m pytest tests/soak -q -p no:cacheprovider --timeout=0

# A Debian package of the compiled guard and all it imports, in dist/. `make deb INTERPRETED=1` needs no compiler.
deb: setup $(if $(INTERPRETED),,build/compiled/.ready)
	$(BIN)/python scripts/deb.py $(if $(INTERPRETED),--interpreted)

# Builds it, installs it, runs it, upgrades an older log, removes it: on copies of /usr, /etc and /var (as root).
deb-test: setup build/compiled/.ready
	$(BIN)/python -m pytest tests/deb -q -p no:cacheprovider --timeout=0

# The package on a machine of its own whose PID 1 is systemd, and which is gone with the test (as root).
systemd-test: deb
	GUARD_DEB="$$(ls -t $(CURDIR)/dist/sip-guard_*.deb | head -n 1)" $(BIN)/python -m tests.systemd.machine \
		$(BIN)/python -m pytest tests/systemd -q -p no:cacheprovider --timeout=0

lock: setup
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --extra dev --extra fuzz --generate-hashes --python-version 3.11 -o requirements.lock --no-emit-index-url --no-header -q

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .guard-demo
