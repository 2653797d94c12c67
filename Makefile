# What can be done with this repository. `make` alone lists it. Needs Go (the version in go.mod), make and git; the
# linter is built from tools/go.mod on first use.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
BIN     := bin/agencyaudit
CACHE   := .cache
LINTER  := $(CACHE)/bin/golangci-lint
# Accounts that `make bench` compares at, and the time that each fuzz target gets.
BENCH_N  ?= 100,1000,10000
# Accounts that it runs a daemon with; 10000,100000 takes another ten minutes and a machine with 4 GiB.
BENCH_DAEMON ?= 10000
# Accounts of a daemon that records its runs.
BENCH_HISTORY ?= 10000
# Accounts of an organization that a daemon lists and enters itself, by each way.
BENCH_ORGANIZATION ?= 2000
FUZZTIME ?= 5s
# Random worlds below the SDK that `make worlds` plays, and those through it.
WORLDS     ?= 100000
SIM_WORLDS ?= 1000
# Inputs that each parser of the cloud's answers gets.
MUTATIONS ?= 1000000
# Random worlds of detection and repair together that `make sim` plays.
SIMS ?= 100000
# Ways in which `make cuts` cuts the ledger's power.
CUTS ?= 1000000
# Times that `make kill` kills the daemon at its audits, the daemon while it repairs, and a process that writes a history; times that
# `make kill-long` does the second of these; and accounts that `make history` gives 400 days of drift.
KILLS    ?= 1000
KILLS_LONG ?= 10000
ACCOUNTS ?= 10000
# Ways in which `make mutants-check` breaks the program.
MUTANTS ?= 10

# One static binary, the same to the byte wherever the same commit is built with the same Go.
BUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)"
# The same with points at which it can be made to kill itself. Nobody is given that one.
FAILPOINTS := $(CACHE)/bin/agencyaudit-failpoints

.DEFAULT_GOAL := help
.PHONY: help build test test-all race fuzz worlds parsers cuts sim sim-long mutants mutants-check cover lint fmt fmt-check vet tidy-check docs-check leaks-check reproducible readme-check \
	prometheus-check rules-check e2e grafana-check grafana-pictures page page-check faults kill kill-repair kill-long history bench bench-check ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/agencyaudit, static and stripped
	$(BUILD) -o $(BIN) ./cmd/agencyaudit

# The room whose tests take longest goes first, so that the others are tested beside it.
FIRST := ./cmd/agencyaudit ./auditor/huawei

test: ## run every test, the longest ones shortened; needs nothing but Go; under three minutes on two cores, and some minutes of building the first time
	go test -short -p 4 -parallel 4 -timeout 30m $(FIRST) ./...

test-all: ## run every test in full; about six minutes
	go test -timeout 30m $(FIRST) ./...

# Left out under the race detector: many accounts, for their time; and a thousand timers that end at one instant of
# a synctest bubble, which crash the detector's own runtime about once in twelve runs (Go 1.26.8); and the memory of a daemon,
# of which the detector takes a share of its own; and the ledger in one goroutine, which races with nobody.
NO_RACE := ^(TestTheOracleAgrees|TestCatalogueOfTheDenied|TestABombCostsTheDaemonLittle|TestCutAnywhere)$$

race: ## run the tests under the race detector, the long ones shortened, the longest left out
	CGO_ENABLED=1 go test -race -short -timeout 60m -skip '$(NO_RACE)' $(FIRST) ./...

fuzz: ## run each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

worlds: ## play WORLDS random worlds below the SDK and SIM_WORLDS through it, against an oracle; about six minutes
	AGENCYAUDIT_WORLDS=$(WORLDS) AGENCYAUDIT_SIM_WORLDS=$(SIM_WORLDS) \
		go test -C auditor/huawei -count=1 -timeout 30m -run '^Test(Kept|Sim)?Worlds(Repeat)?$$'

parsers: ## give each parser of the cloud's answers MUTATIONS inputs made of recorded ones; about three minutes on two cores
	GOGC=800 AGENCYAUDIT_MUTATIONS=$(MUTATIONS) go test -count=1 -timeout 30m -run '^TestParsers$$' -v ./auditor/huawei

cuts: ## cut the power of the ledger of repair in CUTS random ways, and in every way of short ones; about half a minute
	GOGC=800 AGENCYAUDIT_CUTS=$(CUTS) go test -count=1 -timeout 30m -run 'Cut' -v ./auditor/remedy

sim: ## play SIMS random worlds of detection and repair together, against two oracles; about seven minutes on two cores
	AGENCYAUDIT_REPAIRS=$(SIMS) go test -count=1 -timeout 5h -run '^Test(Kept)?Repairs$$' ./auditor/remedy

sim-long: ## the same with a million, or whatever SIMS is set to
	@$(MAKE) --no-print-directory sim SIMS=$(if $(filter command line environment,$(origin SIMS)),$(SIMS),1000000)

mutants: ## break the program on purpose, one way after the other, and have the tests find out; about 50 minutes
	go run ./cmd/mutants

mutants-check: ## the same with MUTANTS ways chosen at random
	go run ./cmd/mutants -n $(MUTANTS)

cover: ## show how much of each function the tests run
	@mkdir -p $(CACHE)
	go test -coverpkg=./rules/...,./auditor/...,./cmd/agencyaudit -coverprofile=$(CACHE)/cover.out ./...
	@go tool cover -func=$(CACHE)/cover.out | tail -n 1
	@go tool cover -html=$(CACHE)/cover.out -o $(CACHE)/cover.html && echo "$(CACHE)/cover.html shows each line"

lint: $(LINTER) ## run golangci-lint with .golangci.yml
	GOLANGCI_LINT_CACHE=$(CURDIR)/$(CACHE)/golangci-lint $(LINTER) run ./...

$(LINTER): tools/go.mod tools/go.sum
	@mkdir -p $(@D)
	go build -C tools -trimpath -o ../$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

fmt: ## format every Go file
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

fmt-check:
	@bad=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$bad" || { echo "run make fmt: $$bad"; exit 1; }

vet:
	go vet ./...

tidy-check:
	go mod tidy -diff
	go mod tidy -C tools -diff
	go mod verify

docs-check:
	go test -count=1 -run '^Test(Docs|Imports)' ./cmd/agencyaudit

leaks-check:
	@.ci/leaks

reproducible:
	@.ci/reproducible

readme-check:
	@.ci/readme

prometheus-check: ## have promtool and a real Prometheus scrape the daemon; installs them where apt-get can
	@.ci/prometheus

rules-check: ## have promtool test the alerts, and a real Alertmanager say whom it would tell; installs them where apt-get can; about two minutes
	@.ci/rules

e2e: ## play drift, alerts, repair and an account that goes dark with a real Prometheus and Alertmanager; installs them where apt-get can
	@.ci/e2e

grafana-check: ## hold the dashboards against Grafana's types, and ask a real Prometheus everything that they ask; installs what is missing where apt-get and npm can
	@.ci/grafana

grafana-pictures: ## the same, and take the pictures of the grids of panels that the documentation shows, in headless Chromium
	@.ci/grafana update

page: ## take the pictures of the pages that the documentation shows, in headless Chromium
	@.ci/page update

page-check: ## look at the pages in headless Chromium; installs it where apt-get can
	@.ci/page

faults: ## play the matrix of faults of the cloud, in full, and print it with its verdicts
	@.ci/faults

kill: build kill-repair ## kill the daemon, as it audits and as it repairs, and a process that writes a history, KILLS times each, and look for what is lost; about fifteen minutes
	AGENCYAUDIT_KILLS=$(KILLS) AGENCYAUDIT_PROGRAM=$(CURDIR)/$(BIN) go test -count=1 -timeout 30m -run '^TestKilledDaemon$$' -v ./cmd/agencyaudit
	AGENCYAUDIT_KILLS=$(KILLS) go test -count=1 -timeout 30m -run '^TestKilled$$' -v ./auditor/history

kill-repair: build
	$(BUILD) -tags failpoints -o $(FAILPOINTS) ./cmd/agencyaudit
	AGENCYAUDIT_KILLS=$(KILLS) AGENCYAUDIT_PROGRAM=$(CURDIR)/$(BIN) AGENCYAUDIT_FAILPOINTS=$(CURDIR)/$(FAILPOINTS) \
		go test -count=1 -timeout 5h -parallel 4 -run '^Test(KilledRepair|NoFailpoints)$$' -v ./cmd/agencyaudit

kill-long: ## kill the daemon while it repairs KILLS_LONG times; about 50 minutes on two cores
	@$(MAKE) --no-print-directory kill-repair KILLS=$(KILLS_LONG)

history: ## let 400 days of drift happen to ACCOUNTS accounts, and measure the history; about ten minutes
	AGENCYAUDIT_HISTORY=$(ACCOUNTS) go test -count=1 -timeout 60m -run '^TestSize$$' -v ./auditor/history

bench: build ## compare `audit` with bare clients at BENCH_N accounts, and more; takes about ten minutes
	go run ./cmd/bench -audit $(BIN) -n $(BENCH_N) -daemon $(BENCH_DAEMON) -history $(BENCH_HISTORY) -organization $(BENCH_ORGANIZATION)

bench-check: build
	go run ./cmd/bench -audit $(BIN) -n 100 -daemon 100 -history 100 -organization 50

ci: ## everything that CI checks, `make test` first
	@.ci/jobs test test-all fmt-check vet lint tidy-check docs-check leaks-check race fuzz parsers cuts sim kill-repair reproducible readme-check \
		prometheus-check rules-check e2e grafana-check page-check bench-check mutants-check

clean: ## remove what the targets above made
	rm -rf bin $(CACHE)
