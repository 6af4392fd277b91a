module github.com/go-gipc/gipc

go 1.25

require (
	github.com/fxamacker/cbor/v2 v2.10.0
	golang.org/x/sync v0.19.0
	golang.org/x/sys v0.41.0
)

require github.com/x448/float16 v0.8.4 // indirect
