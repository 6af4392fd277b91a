// Command musgen writes mus_gen.go, the MUS encoding of record.Record. Package record runs it by go generate.
package main

import (
	"log"
	"os"
	"reflect"

	"github.com/go-gipc/gipc/bench/internal/record"
	musgen "github.com/mus-format/musgen-go/mus"
	generate "github.com/mus-format/musgen-go/options/generate"
	fields "github.com/mus-format/musgen-go/options/struct"
	types "github.com/mus-format/musgen-go/options/type"
)

func main() {
	code, err := run()
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("mus_gen.go", code, 0o644); err != nil {
		log.Fatal(err)
	}
}

func run() ([]byte, error) {
	record := reflect.TypeFor[record.Record]()
	g, err := musgen.NewCodeGenerator(generate.WithPkgPath(record.PkgPath()))
	if err != nil {
		return nil, err
	}
	opts := []fields.SetOption{}
	for i := range record.NumField() {
		if record.Field(i).Name == "When" {
			opts = append(opts, fields.WithField(types.WithTimeUnit(types.NanoUTC)))
		} else {
			opts = append(opts, fields.WithField())
		}
	}
	if err := g.AddStruct(record, opts...); err != nil {
		return nil, err
	}
	return g.Generate()
}
