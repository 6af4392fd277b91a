package gipc

import (
	"context"
	"io"
	"testing"
)

// TestPutMistakenAboutRoomArrivesWhole: where there is less room than the system said, a cancelled Put still returns at
// once, and says that its message arrives.
func TestPutMistakenAboutRoomArrivesWhole(t *testing.T) {
	bounded(t)
	r, w := rawPipe(t, rawOptions)
	setRoom := pretendRoom(w)
	inPipe := filled(t, w)
	setRoom(defaultPipeSize)
	ctx, cancel := context.WithCancel(t.Context())
	put := started(func() error { return w.Put(ctx, pattern(1000)) })
	eventually(t, "a write that can't be interrupted", func() bool {
		s := w.out.dst.(*pipeSink)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.committed
	})
	cancel()
	checkIs(t, <-put, context.Canceled, ErrPartial)
	for i := range inPipe + 1 {
		v, err := r.Get(t.Context())
		check(t, err)
		if i == inPipe {
			checkBytes(t, v, pattern(1000))
		}
	}
	check(t, w.Close())
	_, err := r.Get(t.Context())
	checkEqual(t, err, io.EOF)
}
