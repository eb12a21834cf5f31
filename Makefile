# The front door. `make help` lists the targets; each says what it does and how long its parts took.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

export SHOWRUNNER_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/showrunner
export SHOWRUNNER_ARTEFACTS ?= $(SHOWRUNNER_CACHE)/artefacts
export CARGO_TARGET_DIR ?= $(CURDIR)/target
NAME ?= showrunner
STEP := scripts/step
# Always the whole workspace: cargo unifies features over what is selected, and another selection builds the world again.
BUILD := cargo build --release --locked --workspace

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: deps
deps: ## Install what a bare Debian 12 lacks (as root, once; asks nothing)
	@scripts/deps

.PHONY: tools artefacts binaries images
tools: deps
	@$(STEP) "cluster programs" e2e/cluster/tools/build
artefacts:
	@$(STEP) "models and media tools" scripts/fetch-artefacts
binaries: deps
	@$(STEP) "operator and worker" $(BUILD) --bins
images: binaries artefacts ## Build the operator's and the worker's images, without a registry
	@$(STEP) "images" images/build operator worker

.PHONY: demo
demo: tools binaries artefacts ## Start a real Kubernetes, install Showrunner, enrich a first title, show the report
	@e2e/demo

.PHONY: cluster cluster-down
cluster: tools ## Start a real Kubernetes on this machine in seconds (NAME=showrunner)
	@e2e/cluster/cluster up $(NAME)
cluster-down: ## End it and remove all of it (NAME=showrunner)
	@e2e/cluster/cluster down $(NAME)

.PHONY: test unit-test readers-test bench-test e2e-test test-long
test: unit-test readers-test bench-test e2e-test ## Run every test: first those that need no cluster, then those on a real one, started and ended by them
unit-test: deps artefacts
	@$(STEP) "unit tests" cargo test --release --locked --workspace --all-targets
# A browser is what nothing else here wants: 100 MB, of which a demo should know nothing.
readers-test:
	@scripts/deps chromium-headless-shell
	@$(STEP) "what writes subtitles" $(BUILD) --example tracks
	@$(STEP) "other people's readers" python3 worker/tests/readers/test_readers.py
bench-test: deps
	@$(STEP) "tests of the bench's runner" python3 bench/test_harness.py
	@$(STEP) "tests of how shots are scored" python3 bench/media/test_score.py
	@$(STEP) "tests of how scores are ranked" python3 bench/media/test_rank.py
	@$(STEP) "tests of how words are compared" python3 bench/media/test_words.py
# The lanes mostly wait: for leases, grace periods, deadlines. What they run is built before, not by all at once.
e2e-test: tools images ## Run the fault sweep and, beside it, the tests on real clusters (as root)
	@$(STEP) "build of the tests" cargo test --release --locked --workspace --no-run
	@scripts/beside sweep '$(MAKE) sweep load-test node-test' cluster '$(MAKE) cluster-test' ending '$(MAKE) ending-test'
.PHONY: load-test node-test cluster-test ending-test
load-test: tools binaries artefacts
	@SHOWRUNNER_E2E=1 $(STEP) "five hundred titles at once" cargo test --release --locked --workspace --test flood
	@SHOWRUNNER_E2E=1 $(STEP) "titles of older versions" cargo test --release --locked --workspace --test age
node-test: tools images
	@SHOWRUNNER_E2E=1 $(STEP) "pods on kubelet and process node" cargo test --release --locked --workspace --test node
cluster-test: tools images
	@SHOWRUNNER_E2E=1 $(STEP) "tests on a real cluster" cargo test --release --locked --workspace --test cluster
ending-test: tools images
	@SHOWRUNNER_E2E=1 $(STEP) "upgrade and uninstall on a real cluster" cargo test --release --locked --workspace --test ending
.PHONY: sweep sweep-long planted
sweep: tools binaries artefacts ## Let one thing go wrong at every write of a story, change specs at random, on a real control plane; needs no root
	@SHOWRUNNER_E2E=1 $(STEP) "fault sweep" cargo test --release --locked --workspace --test sweep
planted: deps
	@$(STEP) "the operator with planted bugs" $(BUILD) --bin showrunner-operator-planted --features showrunner-operator/planted-bugs
sweep-long: tools binaries artefacts planted ## Every fault at every point of every story, and every planted bug
	@SHOWRUNNER_E2E=1 SHOWRUNNER_LONG=1 SHOWRUNNER_PLANTED=all $(STEP) "fault sweep, all of it" cargo test --release --locked --workspace --test sweep
test-long: test sweep-long ## The tests, with every seed, every fault, the planted bugs, the programs of older versions and the two-cluster check
	@$(STEP) "two clusters side by side" e2e/cluster/test
	@SHOWRUNNER_E2E=1 SHOWRUNNER_LONG=1 $(STEP) "titles of older versions, and their programs" cargo test --release --locked --workspace --test age
	@SHOWRUNNER_LONG=1 $(STEP) "media that wants much" cargo test --release --locked --workspace --test media -- bombs
	@SHOWRUNNER_E2E=1 SHOWRUNNER_LONG=1 $(STEP) "tests on real clusters, all seeds" cargo test --release --locked --workspace --test cluster --test ending

.PHONY: fuzz
fuzz: deps ## Fuzz the readers of fuzz/libfuzzer, 60 s each (FUZZ_SECONDS), on one core
	@$(STEP) "fuzzing" scripts/fuzz -s $(or $(FUZZ_SECONDS),60)

.PHONY: bench
# NAME has a default for clusters; only one that was given names a suite.
bench: tools images ## Measure beside peers (NAME=suite, all without; BENCH='--wait-quiet 600' and more: see bench/README.md)
	@$(STEP) "what asks for money" $(BUILD) --example admission
	@bench/run $(BENCH) $(if $(filter file,$(origin NAME)),,$(NAME))

.PHONY: gen
gen: helm binaries ## Write the generated files anew: CRDs, schemas, reference, dist/install.yaml
	@$(CARGO_TARGET_DIR)/release/showrunner-xtask gen

.PHONY: verify fmt-check clippy generated house licences charts scripts
verify: fmt-check clippy generated house licences charts scripts ## Format, lints, generated files, dependency direction, licences, charts, scripts
fmt-check:
	@$(STEP) "format" cargo fmt --all --check
clippy: deps
	@$(STEP) "lints" cargo clippy --release --locked --workspace --all-targets -- -D warnings
generated: helm binaries
	@$(STEP) "generated files are up to date" $(CARGO_TARGET_DIR)/release/showrunner-xtask check-generated
house: binaries
	@$(STEP) "dependency direction" $(CARGO_TARGET_DIR)/release/showrunner-xtask check-deps
	@$(STEP) "definitions take what older versions stored" $(CARGO_TARGET_DIR)/release/showrunner-xtask check-crds
licences: deps ## Licences, bans and sources of every crate, by cargo-deny
	@$(STEP) "licences, bans, sources" scripts/check-licences
	@$(STEP) "the fuzzers' lock file" bash -c 'cargo metadata --quiet --locked --format-version 1 --manifest-path fuzz/libfuzzer/Cargo.toml >/dev/null'
charts: helm
	@$(STEP) "charts" scripts/check-charts
scripts: deps
	@$(STEP) "shell scripts" scripts/check-scripts
.PHONY: helm
helm: deps
	@e2e/cluster/tools/build helm
