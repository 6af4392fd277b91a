// Package codecs has codecs of other packages for gipc's channels, one a file. The rows of its tables are their rivals.
package codecs

import (
	"fmt"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/rivals"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// Default is the name of the codec that others are compared with.
const Default = "gipc.CBOR"

// All is every codec that this program was built with, in the order of the tables.
func All() []work.Rival {
	all := []work.Rival{
		forRecords(Default, "the default", "this tree", gipc.CBOR[record.Record]{}),
		forRecords("gipc.JSON", "encoding/json", "this tree", gipc.JSON[record.Record]{}),
		byHand,
		forRecords("gob", "a message alone, with its types", work.Version(""), gobCodec),
		forRecords("goccy/go-json", "reflection", work.Version("github.com/goccy/go-json"), goccyCodec),
		forRecords("hamba/avro", "reflection, with a schema", work.Version("github.com/hamba/avro/v2"), avroCodec),
		forRecords("tinylib/msgp", "generated", work.Version("github.com/tinylib/msgp"), msgpCodec),
		forRecords("mus", "generated", work.Version("github.com/mus-format/mus-go"), musCodec),
		protobuf, vtprotobuf,
	}
	return append(all, experiments()...)
}

// codec is a row: a codec for values of T, each of which stands for a record.
type codec[T any] struct {
	name, about, version string
	gipc.Codec[T]
	child *gipc.Entrypoint[rivals.Args[T]]
	shape work.Shape[T]
}

var recordChild = rivals.Serve("records by codec", func(work.Workload) work.Shape[record.Record] { return work.RecordShape })

func forRecords(name, about, version string, c gipc.Codec[record.Record]) work.Rival {
	return &codec[record.Record]{name, about, version, c, recordChild, work.RecordShape}
}

var byHandShape = work.Shape[record.ByHand]{
	Make:   func(number uint64) record.ByHand { return record.ByHand(record.Sample(number)) },
	Number: func(r record.ByHand) uint64 { return r.ID },
}

// byHand shows what gipc.Binary costs.
var byHand = &codec[record.ByHand]{"gipc.Binary", "AppendBinary and UnmarshalBinary written by hand", "this tree", gipc.Binary[record.ByHand]{},
	rivals.Serve("records by hand", func(work.Workload) work.Shape[record.ByHand] { return byHandShape }), byHandShape}

// register makes a codec known to children, and returns it.
func register[T any](c gipc.Codec[T]) gipc.Codec[T] {
	gipc.RegisterCodec(c)
	return c
}

func (c *codec[T]) Name() string    { return c.name }
func (c *codec[T]) Version() string { return c.version }

// About says how large the record is, too.
func (c *codec[T]) About() string {
	b, err := c.Append(nil, c.shape.Make(0))
	if err != nil {
		return fmt.Sprintf("%s; %v", c.about, err)
	}
	return fmt.Sprintf("%s; %d bytes", c.about, len(b))
}

func (c *codec[T]) Open(w work.Workload) (work.Session, error) {
	switch {
	case !w.Codecs:
		return nil, work.ErrNotOffered
	case w.Kind == work.Encode:
		return c.encoding(), nil
	case w.Kind == work.Decode:
		return c.decoding()
	}
	return rivals.Open(w, c.child, &gipc.Options[T]{Codec: c.Codec}, c.shape)
}

func (c *codec[T]) encoding() work.Session {
	v := c.shape.Make(0)
	var b []byte
	return work.Turns(func() (err error) {
		b, err = c.Append(b[:0], v)
		return err
	})
}

// decoding reuses the value, as GetInto does.
func (c *codec[T]) decoding() (work.Session, error) {
	b, err := c.Append(nil, c.shape.Make(0))
	if err != nil {
		return nil, err
	}
	var v T
	return work.Turns(func() error { return c.Decode(b, &v) }), nil
}
