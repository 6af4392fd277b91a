package gipcnats

import (
	"path/filepath"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A lone server that starts again has no streams of memory any more. What was in them is lost, and says so; what comes later
// finds new streams.
func TestMemoryBehindARestart(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	server := startServer(t)
	o := quick()
	o.Memory = true
	serving(t, server.url(), o, nil)
	c := clientOf(t, server.url(), o)
	path := filepath.Join(t.TempDir(), "x")
	lost := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "until cancelled", Path: path}); return err })
	test.Eventually(t, "it runs", func() bool { return exists(path) })
	server.stop()
	server.start()
	for i := range 3 {
		r, err := c.Do(ctx, deed{N: i})
		test.Check(t, err)
		test.Equal(t, r.N, i)
	}
	test.Is(t, <-lost, ErrLost)
	test.Eventually(t, "the ctx of the lost one ends", func() bool { return exists(path + ".end") })
	empty(t, c)
}

// Streams that an administrator deletes are made again, by client and Serve alike.
func TestDeletedStreams(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := quick()
	serving(t, url, o, nil)
	c := clientOf(t, url, o)
	k := c.core
	for _, stream := range []string{k.taskStream(k.kind), k.resultStream(), k.stateStream()} {
		test.Check(t, k.js.DeleteStream(ctx, stream))
		r, err := c.Do(ctx, deed{N: 7})
		test.Check(t, err)
		test.Equal(t, r.N, 7)
	}
	test.Eventually(t, "all streams are there", func() bool {
		for _, stream := range []string{k.taskStream(k.kind), k.resultStream(), k.stateStream()} {
			if _, err := k.js.Stream(ctx, stream); err != nil {
				return false
			}
		}
		return true
	})
}

// A client whose streams are gone can be closed.
func TestCloseBehindDeletedStreams(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	c, err := NewClient(connect(t, url), obey, nil)
	test.Check(t, err)
	test.Check(t, c.core.js.DeleteStream(t.Context(), c.core.resultStream()))
	test.Check(t, c.Close())
}
