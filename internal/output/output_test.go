package output

import (
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestLock(t *testing.T) {
	test.Equal(t, Lock(nil, nil, nil), nil)
	test.Equal(t, Lock(os.Stderr, nil, nil), io.Writer(os.Stderr))

	var b bytes.Buffer
	first := Lock(&b, nil, nil)
	test.Equal(t, Lock(&b, []io.Writer{nil, os.Stderr, first}, nil), first)
	if Lock(new(bytes.Buffer), []io.Writer{first}, nil) == first || Lock(&b, nil, []io.Writer{first}) == first {
		t.Error("another writer is taken for the same")
	}

	f := writerFunc(b.Write)
	one := Lock(f, []io.Writer{first}, []io.Writer{first}).(*locked)
	kin := Lock(f, nil, []io.Writer{nil, first, one}).(*locked)
	stranger := Lock(f, []io.Writer{one}, []io.Writer{first}).(*locked)
	if kin.mu != one.mu || stranger.mu == one.mu || one.mu == first.(*locked).mu {
		t.Error("wrong locks")
	}
	if n, err := kin.Write([]byte("x")); n != 1 || err != nil || b.String() != "x" {
		t.Error(n, err, b.String())
	}
}
