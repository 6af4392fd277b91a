# One command to a target. `make ci` is everything that a change must pass; .ci/run calls the others.

BENCHTIME ?= 1s
FUZZTIME ?= 10s
MODELTIME ?= 20s
CHAOSTIME ?= 20s
STORMTIME ?= 10s

.PHONY: build test race test32 model chaos storm fuzz bench rivals vet walls lint wine cgroup ci

build:
	go build ./...

test:
	go test ./...

race:
	go test -race -shuffle=on ./...

test32:
	GOARCH=386 go test -short ./...

model:
	go test ./internal/wire -run "TestModel\$$" -model.time $(MODELTIME)

chaos:
	go test . -run "TestChaos\$$" -chaos.time $(CHAOSTIME)

storm:
	go test ./pool -run TestStorm -storm.time $(STORMTIME) -timeout 20m

fuzz:
	.ci/fuzz $(FUZZTIME)

bench:
	go test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

rivals:
	cd bench && go vet ./... && go test ./...

vet:
	.ci/vet

walls:
	.ci/walls

lint:
	.ci/lint

wine:
	.ci/wine/run

cgroup:
	.ci/cgroup

ci:
	.ci/run
