package gipc

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

// largestRead records how much was asked for at once.
type largestRead struct {
	io.Reader
	n int
}

func (r *largestRead) Read(p []byte) (int, error) {
	r.n = max(r.n, len(p))
	return r.Reader.Read(p)
}

// TestCrashReportIsReadToItsEndAndKeptUpToItsLimit: in reads that every system takes, for some refuse large ones of a pipe.
func TestCrashReportIsReadToItsEndAndKeptUpToItsLimit(t *testing.T) {
	for _, size := range []int{0, 1, 4096, 100_000, maxCrash, maxCrash + 1, 3 * maxCrash} {
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		source := bytes.NewReader(text)
		r := &largestRead{Reader: iotest.HalfReader(source)}
		kept, err := readCrash(r)
		check(t, err)
		checkBytes(t, kept, text[:min(size, maxCrash)])
		checkEqual(t, source.Len(), 0)
		if r.n > chunkSize {
			t.Errorf("a read asked for %d bytes", r.n)
		}
	}
	kept, err := readCrash(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader([]byte("cut")))))
	checkIs(t, err, iotest.ErrTimeout)
	checkEqual(t, string(kept), "c")
}
