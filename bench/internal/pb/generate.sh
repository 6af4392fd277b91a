#!/bin/bash
# Writes the Go code of both .proto files. It needs protoc (apt install protobuf-compiler libprotobuf-dev) and gets the rest itself.
set -euo pipefail
cd "$(dirname "$0")/.."

plugins=$(mktemp -d)
trap 'rm -rf "$plugins"' EXIT
for plugin in google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12 google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.1 \
	github.com/planetscale/vtprotobuf/cmd/protoc-gen-go-vtproto@v0.6.0 github.com/containerd/ttrpc/cmd/protoc-gen-go-ttrpc@v1.2.10; do
	GOBIN=$plugins go install "$plugin"
done

PATH=$plugins:$PATH protoc --go_out=. --go_opt=paths=source_relative \
	--go-grpc_out=. --go-grpc_opt=paths=source_relative \
	--go-vtproto_out=. --go-vtproto_opt=paths=source_relative,features=marshal+unmarshal+size pb/bench.proto
PATH=$plugins:$PATH protoc --go_out=. --go_opt=paths=source_relative \
	--go-ttrpc_out=. --go-ttrpc_opt=paths=source_relative ttrpcpb/ttrpc.proto
