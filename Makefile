# Every target is a verb; `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
VERSION := $(VERSION)
REVISION := $(shell git rev-parse HEAD 2>/dev/null)
# The moment of all that is dated: the commit's, or where there is no git the changelog's.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)
export SOURCE_DATE_EPOCH := $(SOURCE_DATE_EPOCH)
RELEASED := $(shell date -u -d @$(SOURCE_DATE_EPOCH) +%F)
ARCHES := amd64 arm64 s390x ppc64le
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-s -w -X tokar/commands.version=$(VERSION) \
	-X tokar/commands.revision=$(REVISION) -X tokar/commands.released=$(RELEASED)'
# v1.2.3 is 1.2.3, what follows it 1.2.3+4.gabcdef, and before the first one everything is 0.
PACKAGE_VERSION := $(shell sed -E '/^v[0-9]/!s/^/v0.0.0-/; s/^v//; s/-(rc|beta)/~\1/; s/-/+/; s/-/./g' <<<'$(VERSION)')
# Where make install puts what; PROGRAM may be one from make cross.
PREFIX ?= /usr/local
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
PROGRAM ?= ./tokar
INSTALL = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' ZSHDIR='$(ZSHDIR)' PROGRAM='$(PROGRAM)' tools/install.sh
QEMU := qemu-s390x-static
FUZZTIME ?= 30s
MUTANTS ?= 20
export BENCH_TOKENS ?= 50
export BENCH_OBJECTS ?= 2000
export BENCH_RUNS ?= 5
export BENCH_COLD ?= 1
# make bench-scale: how many tokens, of BENCH_OBJECTS each.
BENCH_SCALE ?= 5,50,500
# make bench-record sets it: the document that the tables go into as well.
RECORD ?=
BENCH = build/bench -tokar ./tokar $(if $(RECORD),-record $(RECORD))

# A heading with the time since the run began, so that a log shows what is slow.
START := $(shell date +%s)
say = @printf '\n=== %s (at %ds)\n' "$(1)" $$(($$(date +%s) - $(START)))

.PHONY: help build install uninstall test lint fuzz cover mutants cross packages bench bench-scale bench-record profile demo
.PHONY: peers units race bigendian fuzz-briefly try-packages bench-briefly missing build/gotest build/bench

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1	/' | expand -t 14

build: ## ./tokar for this machine
	$(GOBUILD) -o tokar .

install: ## ./tokar, manual pages, completions and documents below PREFIX (/usr/local), in DESTDIR
	@$(INSTALL) put

uninstall: ## takes them away again
	@$(INSTALL) remove

test: peers lint units race bigendian fuzz-briefly try-packages demo bench-briefly missing ## everything; with CI=true peers are installed and none may be absent

lint: ## gofmt, go vet, staticcheck, the direction of imports
	$(call say,lint)
	@files=$$(gofmt -l .); [ -z "$$files" ] || { printf 'not gofmt-ed:\n%s\n' "$$files"; exit 1; }
	@go vet ./...
	@go -C tools vet ./...
	@go tool -modfile=tools/go.mod staticcheck ./...
	@go -C tools tool staticcheck ./...
	@go test -count=1 -run '^TestImport' .

fuzz: ## every fuzz target for FUZZTIME (30s) each
	@tools/fuzz.sh $(FUZZTIME)

cover: ## statements that the tests of format, stages and backends run, and whether they are enough
	@tools/cover.sh

mutants: ## changes one in MUTANTS (20) places of format/ and looks whether its tests notice; takes long
	@go build -C tools -o ../build/ ./mutate
	@build/mutate -one-in $(MUTANTS) -tests '-short ./format/... ./stages' format

cross: ## static binaries for all architectures into build/
	$(call say,cross)
	@for arch in $(ARCHES); do \
		GOOS=linux GOARCH=$$arch $(GOBUILD) -o build/tokar-linux-$$arch .; \
		echo "built build/tokar-linux-$$arch"; \
	done

packages: build cross ## .deb and .rpm for all architectures into build/packages/
	$(call say,packages)
	@PACKAGE_VERSION=$(PACKAGE_VERSION) tools/packages/build.sh build/packages $(ARCHES:%=build/tokar-linux-%)

bench: build build/bench ## tokar against tar | zstd | age, restic, borg and the least there is; BENCH_TOKENS, BENCH_OBJECTS, BENCH_RUNS
	@$(BENCH)

bench-scale: build build/bench ## how cost and memory grow, from 10,000 to 1,000,000 objects; some 20 GB of disk
	@$(BENCH) -scale $(BENCH_SCALE)

profile: build build/bench ## where create, verify and extract spend their time; profiles in build/profile/
	@$(BENCH) -profile build/profile

bench-record: ## all three, with the tables put into docs/PERFORMANCE.md; on a machine that does nothing else
	@dir=$$(mktemp -d); export BENCH_KEEP=1 BENCH_DIR=$$dir; trap 'rm -rf "$$dir"' EXIT; \
		$(MAKE) bench bench-scale profile VERSION=$(VERSION) RECORD=docs/PERFORMANCE.md

demo: build ## a tour on a real token
	$(call say,demo)
	@tools/demo.sh ./tokar

# The parts of test.

peers:
ifeq ($(CI),true)
	$(call say,peers)
	@testdata/peers/peers.sh install
endif

units: build/gotest
	$(call say,tests)
	@go test -C tools -count=1 ./...
	@build/gotest -count=1 -timeout 15m ./...

race: build/gotest
	$(call say,tests with the race detector)
	@if command -v gcc >/dev/null; then CGO_ENABLED=1 build/gotest -again -race -short -count=1 -timeout 15m ./...; fi

bigendian: build/gotest
	$(call say,format and backends as big-endian s390x)
	@if command -v $(QEMU) >/dev/null; then \
		CGO_ENABLED=0 GOARCH=s390x build/gotest -again -short -count=1 -timeout 10m -exec $(QEMU) ./format/... ./backends/...; \
	fi

fuzz-briefly:
	$(call say,fuzz)
	@tools/fuzz.sh 3s

# Nothing of this host is changed: packages are installed into a directory.
try-packages: packages
	$(call say,packages are the same when made again; the .deb is installed and removed; make install)
	@PACKAGE_VERSION=$(PACKAGE_VERSION) tools/packages/try.sh build/packages

# That measuring works, and that made tokens are sound and come back equal; no number of it means anything.
bench-briefly: build
	$(call say,bench on a very small tree)
	@if command -v age >/dev/null && command -v zstd >/dev/null; then \
		export BENCH_TOKENS=2 BENCH_OBJECTS=40 BENCH_RUNS=1 BENCH_COLD=$(if $(filter true,$(CI)),1,0); \
		$(MAKE) bench profile && $(MAKE) bench-scale BENCH_SCALE=1,2; \
	fi

# Last: what this machine could not show. In CI that is a failure.
missing:
	$(call say,peers that are not here)
	@testdata/peers/peers.sh missing || [ "$${CI:-}" != true ]

build/gotest:
	@go build -C tools -o ../build/ ./gotest

build/bench:
	@go build -C tools -o ../build/ ./maketree ./floor ./bench
