# One command to a target. `make ci` is everything that a change must pass; .ci/run calls the others.

BENCHTIME ?= 1s
FUZZTIME ?= 10s
MODELTIME ?= 20s
CHAOSTIME ?= 20s
STORMTIME ?= 10s

.PHONY: build test race test32 model chaos storm fuzz bench vet walls lint wine cgroup nats ci

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

nats:
	.ci/nats

ci:
	.ci/run
