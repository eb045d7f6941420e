# `make demo` first; `make test` runs everything. See README.md.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SLIPWAY := $(or $(CARGO_TARGET_DIR),target)/release/slipway
AGENT   := $(dir $(SLIPWAY))slipway-agent
# The agent is one file that needs no other. Packed relocations make it 1 MB smaller; glibc reads them since 2.36.
STATIC  := -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
# Of a small one, nothing unwinds, and functions that do the same are one.
SMALL   := $(STATIC) -C force-unwind-tables=no -C link-arg=-Wl,--icf=all
TARGET  := x86_64-unknown-linux-gnu
TOOLS   := $(HOME)/.cache/slipway/tools
FUZZ    := 300
DENY    := $(TOOLS)/bin/cargo-deny
TIMED   := scripts/timed
# What scripts/deny found out about advisories.
ADVISORIES := $(or $(CARGO_TARGET_DIR),target)/advisories
# The snapshots of what users read and nodes get.
SNAPSHOTS := --test inventory --test inventory_meaning --test plan --test preflight

help: ## show what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

machine: ## install what this Debian machine lacks (needs root)
	@scripts/machine $(if $(filter test check,$(MAKECMDGOALS)),test fuzz) $(filter fuzz sweep bench,$(MAKECMDGOALS))

build: ## build slipway, and the agent that its bundles hold
	cargo build --release --locked --bin slipway
	cargo rustc --release --locked --bin slipway-agent -- $(STATIC)
	@install -T $(AGENT) $(AGENT)-amd64

# It logs nothing below `info`, so nothing below is in it.
small: ## build the agent as a release has it: half as large, in minutes
	CFLAGS='-fno-asynchronous-unwind-tables -fno-unwind-tables' RUSTFLAGS='$(SMALL)' cargo rustc --profile small \
	  --locked --target $(TARGET) --bin slipway-agent --features tracing/release_max_level_info \
	  -- -C link-arg=-Wl,--no-eh-frame-hdr
	@install -T $(or $(CARGO_TARGET_DIR),target)/$(TARGET)/small/slipway-agent $(AGENT)-amd64

demo: machine ## from nothing to a running cluster of five nodes on this machine
	@SLIPWAY=$(SLIPWAY) scripts/demo

quick: ## what to run before sending a change: format, lints, unit tests, snapshots, simulation; no root
	cargo fmt --all --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo test --locked --lib --test architecture $(SNAPSHOTS)

bless: ## write all snapshots and generated documentation anew; read the difference
	SNAPSHOTS=overwrite cargo test --quiet --locked --lib steps::tests
	SNAPSHOTS=overwrite cargo test --quiet --locked $(SNAPSHOTS)
	@git --no-pager diff --stat

# With the build's profile, so that build scripts and macros are compiled once.
check: machine ## format, lints, licences, documentation
	@$(TIMED) format cargo fmt --all --check
	@$(TIMED) lints cargo clippy --release --all-targets --locked -- -D warnings
	@RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" \
		$(TIMED) documentation cargo doc --release --no-deps --locked --document-private-items
	@$(MAKE) --no-print-directory deny

deny: ## licences, banned crates, sources and advisories of all dependencies
	@[ -x $(DENY) ] || CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
		$(TIMED) cargo-deny cargo install --locked --root $(TOOLS) cargo-deny@0.20.2
	@$(TIMED) licences scripts/deny $(DENY)

test: ## all checks and all tests, the clusters on the lab included; tells how long each part took
	@$(TIMED) --run $(MAKE) --no-print-directory all

all:
	@$(TIMED) machine scripts/machine test fuzz
	@$(TIMED) build $(MAKE) --no-print-directory build
	@$(TIMED) bundle $(SLIPWAY) bundle build
	@scripts/published-crds
	@scripts/tests
	@cat $(ADVISORIES)

ci-report: ## write bench/ci.md from the last cold and the last warm `make test`
	@$(TIMED) --report bench/ci.md

fuzz: machine ## fuzzers for all that slipway reads and did not write, FUZZ seconds each; writes docs/fuzz.md
	@scripts/fuzz $(FUZZ) docs/fuzz.md

reproduce: machine build ## build the whole bundle twice, apart, and compare the digests
	SLIPWAY=$(SLIPWAY) scripts/reproduce

sweep: machine build ## break a lab in every way that is known; can be interrupted; writes docs/faults.md
	$(SLIPWAY) bundle build
	cargo test --release --locked --test cluster -- --ignored --nocapture --test-threads=1

release: ## pack a release of Cargo.toml's version, TAG=v… checked against it; writes dist/ in cargo's target
	@scripts/release $(TAG)

bench: machine build ## slipway against bare kubeadm commands, pyinfra and Ansible; writes bench/*.md
	$(SLIPWAY) bundle build
	SLIPWAY=$(SLIPWAY) bench/compare.sh
	SLIPWAY=$(SLIPWAY) bench/look.sh

.PHONY: help machine build small demo quick bless check deny test all ci-report fuzz reproduce sweep release bench
