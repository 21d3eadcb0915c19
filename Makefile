# Each target does its own set-up on a machine with rustup, a C compiler, Python 3 and the package registries.

CARGO ?= cargo
OUT := target/release
VENV := target/venv
PYTHON := $(VENV)/bin/python
WASMTIME := 48.0.8
QEMU := qemu-aarch64 -L /usr/aarch64-linux-gnu
AARCH64 := CC_aarch64_unknown_linux_gnu=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="$(QEMU)"

.PHONY: build serving demo test test-all kernels device fuzz bench check csmask clean

## The release build of everything.
build: toolchain
	$(CARGO) build --release --locked

## The programs of cloud functions, without a compiler in them, where `ampoule package` looks for them.
## That of AWS Lambda, where each has a virtual machine of its own, lies at a fixed address: there is nothing
## to relocate at its start, and it is smaller.
serving: toolchain
	$(CARGO) build --profile serving --locked -p ampoule-functions --no-default-features --bin cloud
	$(CARGO) rustc --profile serving --locked -p ampoule-functions --no-default-features --bin bootstrap -- -C relocation-model=static
	mkdir -p $(OUT)/serving && cp target/serving/bootstrap target/serving/cloud $(OUT)/serving/

## Seals, serves and asks the models of the repository, and masks a folder of pictures. Without the engine for portable
## ampoules, which takes minutes to build.
demo: toolchain
	$(CARGO) build --release --locked --bin ampoule --no-default-features --features cli,onnxruntime
	$(OUT)/ampoule demo

## All tests. Installs what they need (a browser for the page, Python for the peers) where it is missing.
test: csmask browser deploy-tools
	$(MAKE) -j2 built serving
	$(CARGO) test --release --locked --no-fail-fast -- $(TESTS)

## The same with what takes minutes: thirteen models, sealed to be portable, in all that runs them, and guests without SIMD.
test-all: stock-runtime
	$(MAKE) test TESTS=--include-ignored

## Tests and what they run, built. What is for the cloud is built beside it.
.PHONY: built
built: build
	$(CARGO) test --release --locked --no-run

## Figures beside those of peers, from the same run. Installs the peers.
bench: build serving csmask stock-runtime
	$(CARGO) bench --locked --bench call
	$(CARGO) build --profile serving --locked -p ampoule-bare
	$(CARGO) build --profile serving --locked -p ampoule-functions --no-default-features --example hello
	AMPOULE=$(OUT)/ampoule tests/bench/run $(BENCH)
	AMPOULE=$(OUT)/ampoule tests/bench/function
	AMPOULE=$(OUT)/ampoule tests/bench/article
	AMPOULE=$(OUT)/ampoule tests/bench/article --model csmask
	AMPOULE=$(OUT)/ampoule tests/bench/portable
	$(CARGO) build --release --locked --examples
	CARGO_ENCODED_RUSTFLAGS=-Ctarget-feature=+simd128 $(CARGO) build --release --locked -p ampoule-engine --examples \
	    --target wasm32-wasip2 --target-dir target/wasm
	WASM=target/wasm/wasm32-wasip2/release/examples tests/bench/peers/trees.py
	WASM=target/wasm/wasm32-wasip2/release/examples tests/bench/peers/convolutions.py

## The kernels of other processors: those of AArch64 under qemu-user, those of WebAssembly in a stock runtime.
kernels: aarch64 $(VENV)/ready
	$(AARCH64) $(CARGO) test --release --locked -p ampoule-engine --lib --target aarch64-unknown-linux-gnu \
	    --target-dir target/aarch64 -- conv forest
	CARGO_ENCODED_RUSTFLAGS=-Ctarget-feature=+simd128 \
	CARGO_TARGET_WASM32_WASIP2_RUNNER="$(abspath $(PYTHON)) $(CURDIR)/tests/portable/command.py run" \
	$(CARGO) test --release --locked -p ampoule-engine --lib --target wasm32-wasip2 --target-dir target/wasm -- conv forest

## The command for boards with AArch64, which has to answer under qemu-user as the one of this machine does.
device: aarch64 build
	$(AARCH64) $(CARGO) build --release --locked -p ampoule-functions --bin ampoule --no-default-features --features cli \
	    --target aarch64-unknown-linux-gnu --target-dir target/aarch64
	tests/device $(OUT)/ampoule $(QEMU) target/aarch64/aarch64-unknown-linux-gnu/release/ampoule

## Made-up files for all that loads models, FUZZ_SECONDS (1200) for each of them.
fuzz: toolchain
	host/engine/fuzz/run $(FUZZ)

## Format, lints, documentation and dependencies.
check: toolchain
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --workspace --no-deps
	@command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny@0.20.2
	$(CARGO) deny check bans licenses sources

## The published cloud mask, which the repository doesn't hold.
csmask: $(VENV)/ready
	$(PYTHON) models/csmask/fetch.py

clean:
	$(CARGO) clean

.PHONY: toolchain aarch64 browser deploy-tools stock-runtime
toolchain:
	@command -v rustup >/dev/null || { echo "rustup is missing: see https://rustup.rs" >&2; exit 1; }
	@rustup target list --installed | grep -qx wasm32-wasip2 || rustup target add wasm32-wasip2 \
	    || { echo "the Rust target wasm32-wasip2 is missing and can't be added" >&2; exit 1; }

aarch64: toolchain
	@command -v qemu-aarch64 >/dev/null && command -v aarch64-linux-gnu-gcc >/dev/null \
	    || { echo "qemu-aarch64 or aarch64-linux-gnu-gcc is missing (Debian: qemu-user, gcc-aarch64-linux-gnu)" >&2; exit 1; }
	rustup target add aarch64-unknown-linux-gnu

stock-runtime:
	@target/tools/bin/wasmtime --version 2>/dev/null | grep -qF "wasmtime $(WASMTIME)" \
	    || $(CARGO) install --locked --root target/tools wasmtime-cli@$(WASMTIME)

$(VENV)/ready: tests/requirements.txt
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r tests/requirements.txt
	touch $@

browser: tests/docs/node_modules
	@command -v chromium >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } \
	    || echo "no chromium: the page is not tested"

deploy-tools: tests/deploy/node_modules
	@command -v buildah >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	    && apt-get update -qq && apt-get install -y -qq buildah >/dev/null; } \
	    || echo "no buildah: images are not run"

tests/deploy/node_modules: tests/deploy/package.json
	@command -v npm >/dev/null && (cd tests/deploy && npm ci --silent --no-audit --no-fund) \
	    || echo "no npm: workflows are not linted"
	@touch tests/deploy/node_modules 2>/dev/null || true

tests/docs/node_modules: tests/docs/package.json
	@command -v npm >/dev/null && (cd tests/docs && npm ci --silent --no-audit --no-fund) \
	    || echo "no npm: the page is not tested"
	@touch tests/docs/node_modules 2>/dev/null || true
