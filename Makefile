# One command to a target. `make ci` is everything that a change must pass; .ci/run calls the others.

BENCHTIME ?= 1s
FUZZTIME ?= 10s
MODELTIME ?= 20s
CHAOSTIME ?= 20s
STORMTIME ?= 10s

.PHONY: build test race test32 shared model chaos storm fuzz bench rivals vet walls lint wine cgroup qemu nats ci

build:
	go build ./...

test:
	go test ./...

race:
	go test -vet=off -race -shuffle=on ./...

test32:
	GOARCH=386 go test -vet=off -short ./...

shared:
	go test -vet=off -short . -shared.size 65536

model:
	go test -vet=off ./internal/wire -run "TestModel\$$" -model.time $(MODELTIME)

chaos:
	go test -vet=off . -run "TestChaos\$$" -chaos.time $(CHAOSTIME)

storm:
	go test -vet=off ./pool -run TestStorm -storm.time $(STORMTIME) -timeout 20m

fuzz:
	.ci/fuzz $(FUZZTIME)

bench:
	go test -vet=off -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...

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

nats:
	.ci/nats

qemu:
	.ci/qemu

ci:
	.ci/run
