# What a person does with this project. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Built programs; the demo's logs and summary are always in target/demo.
TARGET := $(or $(CARGO_TARGET_DIR),target)
BUILT := $(TARGET)/release

# Most tests wait for servers now and then; a core should not wait with them.
THREADS := $(shell echo $$(($$(nproc) + 1)))

.PHONY: help demo release test test-all test-drivers test-versions lint bench bench-copy bench-drain \
        bench-http bench-postgres bench-sessions bench-pause bench-canary soak clean-demo

help: ## what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  make demo ROLLBACK=1    goes back after writes have happened on green'
	@echo '  make demo RATE=500      sends 500 requests a second instead of 200'
	@echo '  make demo GREEN=broken  a new version of which 1 % of the requests fail: found and rolled back'
	@echo '  make demo GREEN=slow    one that takes 40 % longer'

release:
	cargo build --release --locked --workspace --bins

demo: ## installs what is missing, builds, and moves a live shop (about two minutes)
	@scripts/install postgres
	cargo build --profile quick --locked --bins -p changeover -p changeover-demo -p changeover-shop
	@exec $(TARGET)/quick/changeover-demo

test: ## every test, also those against real PostgreSQL servers
	@scripts/install postgres prometheus haproxy
	cargo test --workspace --locked -- --test-threads=$(THREADS)

test-all: ## the same and those that take minutes: huge values, thousands of objects
	@scripts/install postgres prometheus haproxy
	cargo test --workspace --locked -- --test-threads=$(THREADS) --include-ignored

test-versions: ## moves between real servers of other versions, there and back (needs npm; a few minutes)
	@scripts/install postgres
	cargo build --locked -p changeover
	@scripts/versions $(TARGET)/debug/changeover

test-drivers: ## psycopg, Django, asyncpg, node-postgres and JDBC through the gate, there and back (a minute)
	@scripts/install postgres
	cargo build --locked -p changeover
	@scripts/drivers/run

lint: ## formatting and clippy, warnings refused
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

bench: release ## all comparisons; RECORD=1 appends them to docs/benchmarks.md
	@bench/run copy drain http postgres pause

bench-copy: release ## copy of a pgbench database beside pg_dump | psql and pgcopydb
	@bench/run copy

bench-drain: release ## a backlog drained beside native logical replication
	@bench/run drain

bench-http: release ## CPU per request of the HTTP gate beside HAProxy
	@bench/run http

bench-postgres: release ## CPU per query of the PostgreSQL gate beside PgBouncer
	@bench/run postgres

bench-sessions: release ## a cutover and a rollback under 500 sessions of the PostgreSQL gate
	@bench/run sessions

bench-pause: release ## the pause that clients saw at the cutover
	@bench/run pause

bench-canary: ## simulated canaries: our verdict beside Kayenta's, thresholds and others (a few minutes)
	cargo build --release --locked -p changeover-canary-bench
	@nice $(BUILT)/changeover-canary-bench

soak: release ## the demo again and again, there and back, for SOAK_MINUTES (60)
	@scripts/install postgres
	@scripts/soak $(BUILT)/changeover-demo

clean-demo: ## removes the demo's logs and summary
	rm -rf target/demo
