package stream

import (
	"slices"
	"testing"
)

// Nothing is no write: a pipe of Windows would deliver it, and a reader would take it for the end.
func TestWriteIsOfWholePagesAndNeverOfNothing(t *testing.T) {
	for _, c := range []struct {
		head, body int
		want       []int
	}{
		{0, 0, nil},
		{10, 0, []int{10}},
		{0, 10, []int{10}},
		{10, 10, []int{10, 10}},
		{ChunkSize, 0, []int{ChunkSize}},
		{ChunkSize + 10, 0, []int{ChunkSize, 10}},
		{10, ChunkSize + 10, []int{10, ChunkSize, 10}},
	} {
		var sizes []int
		var writes uint64
		n, err := writeBoth(writerFunc(func(p []byte) (int, error) {
			sizes = append(sizes, len(p))
			return len(p), nil
		}), make([]byte, c.head), make([]byte, c.body), &writes)
		if n != c.head+c.body || err != nil || !slices.Equal(sizes, c.want) || writes != uint64(len(sizes)) {
			t.Errorf("head %d, body %d: wrote %v, %d in all, %v; want %v", c.head, c.body, sizes, n, err, c.want)
		}
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
