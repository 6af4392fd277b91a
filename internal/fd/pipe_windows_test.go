package fd

import (
	"errors"
	"io"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/go-gipc/gipc/internal/test"
)

// pretendToUntie makes a used end a bare handle again where the system can't do that.
func pretendToUntie(t *testing.T) {
	original := untie
	t.Cleanup(func() { untie = original })
	untie = func(h windows.Handle) error {
		_ = original(h)
		return nil
	}
}

func TestDeadlineOfABareEndIsAppliedOnce(t *testing.T) {
	pretendToUntie(t)
	r, w := newPipe(t)
	test.Check(t, r.SetReadDeadline(longAgo))
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	test.Check(t, r.SetReadDeadline(time.Time{}))
	second, err := r.duplicate()
	test.Check(t, err)
	test.Check(t, second.Close())
	if r.used.Load() != nil || !r.deadline.IsZero() { // the read below can't show it under Wine: no port, no deadline
		t.Fatalf("in use: %v; deadline %v", r.used.Load() != nil, r.deadline)
	}
	_, err = w.Write([]byte("v"))
	test.Check(t, err)
	if _, err := r.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// TestUntiedEndsWorkAfterAFailedSpawn reads and writes by ends that a Spawn had made bare handles again: it made duplicates of
// them, and closed these when it failed. TestFailedSpawnLeavesUsedEndsAsTheyWere spawns.
func TestUntiedEndsWorkAfterAFailedSpawn(t *testing.T) {
	pretendToUntie(t)
	test.Bounded(t)
	in, toIn := newPipe(t)
	fromOut, out := newPipe(t)
	for range 3 {
		carries(t, in, toIn)
		carries(t, fromOut, out)
		for _, end := range []End{in, out} {
			dup, err := Duplicate(end)
			test.Check(t, err)
			test.Check(t, dup.Close())
			if end.used.Load() != nil {
				t.Fatal("the end is in use")
			}
		}
	}
	carries(t, in, toIn)
	carries(t, fromOut, out)
}

// Zero bytes that somebody writes are no end.
func TestReadOfZeroBytesIsNoEnd(t *testing.T) {
	test.Bounded(t)
	h, w := test.MessagePipe(t)
	r := OpenEnd(uintptr(h), true)
	closeAtEnd(t, r)
	var n uint32
	test.Check(t, windows.WriteFile(w, nil, &n, nil))
	got, err := r.Read(make([]byte, 10))
	test.Check(t, err)
	test.Equal(t, got, 0)
	test.Check(t, windows.WriteFile(w, []byte("text"), &n, nil))
	got, err = r.Read(make([]byte, 10))
	test.Check(t, err)
	test.Equal(t, got, 4)
	test.Check(t, windows.CloseHandle(w))
	_, err = r.Read(make([]byte, 10))
	test.Equal(t, err, io.EOF)
}

func TestReadableIsWhatIsInThePipe(t *testing.T) {
	r, w := newPipe(t)
	for _, want := range []int{0, 100, 300} {
		n, err := r.Readable()
		test.Check(t, err)
		test.Equal(t, n, want)
		_, err = w.Write(make([]byte, 100+want))
		test.Check(t, err)
	}
	test.Check(t, w.Close())
	_, err := io.ReadFull(r, make([]byte, 700))
	test.Check(t, err)
	if n, err := r.Readable(); err == nil {
		t.Errorf("%d bytes after the end", n)
	}
}

func TestRoomIsWhatThePipeTakes(t *testing.T) {
	r, w := newPipe(t)
	whole := w.Room()
	if whole == 0 {
		test.SkipUnderWine(t, "its pipes don't tell their room")
	}
	_, err := w.Write(make([]byte, 1000))
	test.Check(t, err)
	test.Equal(t, w.Room(), whole-1000)
	_, err = io.ReadFull(r, make([]byte, 1000))
	test.Check(t, err)
	test.Equal(t, w.Room(), whole)
	test.Check(t, w.Close())
	test.Equal(t, w.Room(), 0)
}
