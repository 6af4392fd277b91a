package codecs

import (
	"errors"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/bench/internal/pb"
	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

func TestMain(m *testing.M) {
	gipc.Init()
	os.Exit(m.Run())
}

func TestCodecs(t *testing.T) {
	for _, r := range All() {
		t.Run(r.Name(), func(t *testing.T) {
			switch c := r.(type) {
			case *codec[record.Record]:
				testCodec(t, c, record.Equal)
			case *codec[record.ByHand]:
				testCodec(t, c, func(a, b record.ByHand) bool { return record.Equal(record.Record(a), record.Record(b)) })
			case *codec[*pb.Record]:
				testCodec(t, c, func(a, b *pb.Record) bool { return proto.Equal(a, b) })
			default:
				var missing *work.MissingError
				if _, err := r.Open(work.Workload{Kind: work.Encode, Codecs: true}); !errors.As(err, &missing) {
					t.Errorf("%T can't be tested: %v", r, err)
				}
			}
		})
	}
}

// testCodec decodes into a value that holds another one. That must not shine through. Then it sends records to a child.
func testCodec[T any](t *testing.T, c *codec[T], equal func(a, b T) bool) {
	want, v := c.shape.Make(7), c.shape.Make(8)
	other := any(&v)
	switch r := other.(type) {
	case *record.Record:
		r.Attrs["more"], r.Tags = "old", append(r.Tags, "old")
	case *record.ByHand:
		r.Attrs["more"], r.Tags = "old", append(r.Tags, "old")
	case **pb.Record:
		(*r).Attrs["more"], (*r).Tags = "old", append((*r).Tags, "old")
	}
	prefix := "what was there"
	b, err := c.Append([]byte(prefix), want)
	if err != nil {
		t.Fatal(err)
	}
	if string(b[:len(prefix)]) != prefix {
		t.Errorf("Append changed what was there to %q", b[:len(prefix)])
	}
	src := b[len(prefix):]
	if err := c.Decode(src, &v); err != nil {
		t.Fatal(err)
	}
	clear(src)
	if !equal(v, want) {
		t.Errorf("got %+v, want %+v", v, want)
	}
	for _, kind := range []work.Kind{work.Struct, work.Encode, work.Decode} {
		s, err := c.Open(work.Workload{Kind: kind, Codecs: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Run(20); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}
