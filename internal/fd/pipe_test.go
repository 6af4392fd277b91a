package fd

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func TestMain(m *testing.M) {
	test.Prepare()
	os.Exit(m.Run())
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

func newPipe(t *testing.T) (r, w End) {
	t.Helper()
	r, w, err := NewPipe(0)
	test.Check(t, err)
	closeAtEnd(t, r, w)
	return r, w
}

// closeAtEnd closes what the test may have closed itself.
func closeAtEnd(t *testing.T, all ...io.Closer) {
	t.Cleanup(func() {
		for _, c := range all {
			_ = c.Close()
		}
	})
}

// carries fails the test unless what is written to w comes out of r.
func carries(t *testing.T, r io.Reader, w io.Writer) {
	t.Helper()
	const text = "carried"
	_, err := w.Write([]byte(text))
	test.Check(t, err)
	got := make([]byte, len(text))
	_, err = io.ReadFull(r, got)
	test.Check(t, err)
	test.Equal(t, string(got), text)
}

func TestPipeCarriesUpToItsEnd(t *testing.T) {
	test.Bounded(t)
	for _, size := range []int{0, 1, 4096, 1 << 20} {
		r, w, err := NewPipe(size)
		test.Check(t, err)
		closeAtEnd(t, r, w)
		written := test.Started(func() error {
			_, err := w.Write(test.Pattern(1 << 20))
			return errors.Join(err, w.Close())
		})
		got, err := io.ReadAll(r)
		test.Check(t, err)
		test.Check(t, <-written)
		test.Bytes(t, got, test.Pattern(1<<20))
	}
}

func TestOutputPipeCarriesUpToItsEnd(t *testing.T) {
	test.Bounded(t)
	r, w, err := NewOutputPipe()
	test.Check(t, err)
	closeAtEnd(t, r, w)
	carries(t, r, w)
	test.Check(t, w.Close())
	_, err = r.Read(make([]byte, 1))
	test.Equal(t, err, io.EOF)
}

// A size that no system grants is no error, since it is a hint.
func TestPipeOfAnySizeIsMade(t *testing.T) {
	for _, size := range []int{-1, 1<<31 - 1} {
		r, w, err := NewPipe(size)
		test.Check(t, err)
		closeAtEnd(t, r, w)
		carries(t, r, w)
	}
}

func TestWriteWithoutReaderFails(t *testing.T) {
	r, w := newPipe(t)
	test.Check(t, r.Close())
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("somebody took it")
	}
}

func TestDeadlineWakesAReadAndCanBeTakenBack(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	for range 20 {
		read := test.Started(func() error { _, err := r.Read(make([]byte, 1)); return err })
		test.Check(t, r.SetReadDeadline(longAgo))
		test.Is(t, <-read, os.ErrDeadlineExceeded)
		test.Check(t, r.SetReadDeadline(time.Time{}))
	}
	carries(t, r, w)
}

func TestDeadlineWakesAWrite(t *testing.T) {
	test.Bounded(t)
	_, w := newPipe(t)
	test.Check(t, w.SetWriteDeadline(time.Time{}))
	written := test.Started(func() error { _, err := w.Write(test.Pattern(1 << 20)); return err }) // more than the pipe holds
	test.Check(t, w.SetWriteDeadline(longAgo))
	test.Is(t, <-written, os.ErrDeadlineExceeded)
}

func TestCloseWakesAReadAndAWrite(t *testing.T) {
	test.Bounded(t)
	for range 20 {
		r, _ := newPipe(t)
		read := test.Started(func() error { _, err := r.Read(make([]byte, 1)); return err })
		test.Check(t, r.Close())
		test.Is(t, <-read, os.ErrClosed)
		test.Is(t, r.Close(), os.ErrClosed)

		r, w := newPipe(t)
		written := test.Started(func() error { _, err := w.Write(test.Pattern(1 << 20)); return err })
		test.Check(t, w.Close())
		if err := <-written; err == nil {
			t.Error("it wrote all")
		}
		test.Check(t, r.Close())
	}
}

// streams returns one of each kind of stream that has a descriptor.
func streams(t *testing.T) map[string]io.Closer {
	t.Helper()
	r, w := newPipe(t)
	out, outW, err := NewOutputPipe()
	test.Check(t, err)
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	test.Check(t, err)
	closeAtEnd(t, out, outW, file)
	return map[string]io.Closer{"reading end": r, "writing end": w, "output": out, "child's output": outW, "file": file}
}

func TestNumber(t *testing.T) {
	seen := map[int]string{}
	all := streams(t)
	for name, s := range all {
		n := Number(s)
		if n < 0 || seen[n] != "" {
			t.Errorf("the number of the %s is %d, as of the %s", name, n, seen[n])
		}
		seen[n] = name
		test.Equal(t, Number(s), n)
	}
	for name, s := range all {
		test.Check(t, s.Close())
		if n := Number(s); n != -1 {
			t.Errorf("%s: %d after Close", name, n)
		}
	}
	mine, theirs := net.Pipe()
	closeAtEnd(t, mine, theirs)
	test.Equal(t, Number(mine), -1)
	test.Equal(t, Number(nil), -1)
}

// What is in the stream goes to whoever reads first, and it stays open until both are closed.
func TestDuplicateIsTheSameStream(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	second, err := Duplicate(w)
	test.Check(t, err)
	test.Check(t, w.Close())
	dup := opened(second, true)
	closeAtEnd(t, dup)
	carries(t, r, dup)
	if err := dup.SetWriteDeadline(longAgo); err != nil {
		t.Errorf("the duplicate of an end that was not used has no deadlines: %v", err)
	}
	test.Check(t, dup.Close())
	_, err = r.Read(make([]byte, 1))
	test.Equal(t, err, io.EOF)
}

func TestDuplicateOfAnEndLeavesItAsItWas(t *testing.T) {
	test.Bounded(t)
	for _, used := range []bool{false, true} {
		r, w := newPipe(t)
		if used {
			carries(t, r, w)
		}
		test.Equal(t, DeadlinesTravel(r), !used || !onWindows)
		for range 3 {
			for _, end := range []End{r, w} {
				dup, err := Duplicate(end)
				test.Check(t, err)
				test.Check(t, dup.Close())
			}
			carries(t, r, w)
		}
	}
}

func TestDuplicateOfWhatHasNoFile(t *testing.T) {
	mine, theirs := net.Pipe()
	closeAtEnd(t, mine, theirs)
	_, err := Duplicate(mine)
	test.Is(t, err, ErrNoFile)
	for name, s := range streams(t) {
		test.Check(t, s.Close())
		if _, err := Duplicate(s); err == nil || errors.Is(err, ErrNoFile) {
			t.Errorf("%s, closed: %v", name, err)
		}
	}
}

func TestDuplicateFileOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	file, err := os.Create(path)
	test.Check(t, err)
	second, err := DuplicateFile(file)
	test.Check(t, err)
	test.Check(t, file.Close())
	dup := OpenFile(number(second), false)
	_, err = dup.WriteString("written")
	test.Check(t, errors.Join(err, dup.Close()))
	got, err := os.ReadFile(path)
	test.Check(t, err)
	test.Equal(t, string(got), "written")
}

// An end that is given away is a child's alone: closing what was given ends the stream.
func TestGive(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	given, err := Give(w)
	test.Check(t, err)
	test.Check(t, given.Close())
	_, err = r.Read(make([]byte, 1))
	test.Equal(t, err, io.EOF)
	if _, err := w.Write([]byte("x")); err == nil {
		t.Error("the end is still there")
	}

	out, outW, err := NewOutputPipe()
	test.Check(t, err)
	closeAtEnd(t, out)
	given, err = GiveFile(outW)
	test.Check(t, err)
	test.Check(t, given.Close())
	_, err = out.Read(make([]byte, 1))
	test.Equal(t, err, io.EOF)
	if _, err := outW.Write([]byte("x")); err == nil {
		t.Error("the file is still there")
	}
}

// TestOpenEndHasDeadlinesWhereItShall opens what a child inherits.
func TestOpenEndHasDeadlinesWhereItShall(t *testing.T) {
	test.Bounded(t)
	for _, deadlines := range []bool{true, false} {
		r, w := newPipe(t)
		given, err := Give(r)
		test.Check(t, err)
		end := opened(given, deadlines)
		closeAtEnd(t, end)
		if !deadlines {
			test.Is(t, end.SetReadDeadline(longAgo), os.ErrNoDeadline)
			carries(t, end, w)
			test.Is(t, end.SetReadDeadline(longAgo), os.ErrNoDeadline)
			continue
		}
		carries(t, end, w)
		test.Check(t, end.SetReadDeadline(longAgo))
		_, err = end.Read(make([]byte, 1))
		test.Is(t, err, os.ErrDeadlineExceeded)
	}
}
