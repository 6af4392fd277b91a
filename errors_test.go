package gipc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/test"
)

var (
	errQuota   = errors.New("over quota") // registered
	errPrivate = errors.New("private")    // not registered
	errHere    = errors.New("here alone") // registered in children alone
)

func init() { RegisterError("test.errQuota", errQuota) }

// likeNotExist matches by a method of its own.
type likeNotExist struct{ error }

func (likeNotExist) Is(target error) bool { return target == fs.ErrNotExist || target == errQuota }

// travellers are errors that an entrypoint returns. They are made in the child.
var travellers = map[string]struct {
	make    func() error
	matches []error
}{
	"plain":         {func() error { return errors.New("no luck") }, nil},
	"unregistered":  {func() error { return fmt.Errorf("sorry: %w", errPrivate) }, nil},
	"registered":    {func() error { return fmt.Errorf("user 7: %w", errQuota) }, []error{errQuota}},
	"child alone":   {func() error { RegisterError("test.errHere", errHere); return errHere }, nil},
	"io.EOF":        {func() error { return io.EOF }, []error{io.EOF}},
	"unexpected":    {func() error { return fmt.Errorf("read: %w", io.ErrUnexpectedEOF) }, []error{io.ErrUnexpectedEOF}},
	"open":          {func() error { _, err := os.Open("/no/such/file"); return err }, []error{fs.ErrNotExist}},
	"permission":    {func() error { return &fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission} }, []error{fs.ErrPermission}},
	"deadline":      {func() error { return os.ErrDeadlineExceeded }, []error{os.ErrDeadlineExceeded}},
	"ctx deadline":  {func() error { return context.DeadlineExceeded }, []error{context.DeadlineExceeded}},
	"ctx canceled":  {func() error { return context.Canceled }, []error{context.Canceled}},
	"own Is":        {func() error { return likeNotExist{errors.New("nobody here")} }, []error{fs.ErrNotExist, errQuota}},
	"joined":        {func() error { return errors.Join(errPrivate, io.EOF, errQuota) }, []error{io.EOF, errQuota}},
	"two wrapped":   {func() error { return fmt.Errorf("%w, and %w", fs.ErrExist, ErrPeerClosed) }, []error{fs.ErrExist, ErrPeerClosed}},
	"moved":         {func() error { return &Error{"put", "w", &movedError{"x"}} }, []error{ErrMoved, ErrClosed, os.ErrClosed}},
	"not ready":     {func() error { return errEndedEarly }, []error{ErrNotReady}},
	"through twice": {func() error { e, _ := ParseRemoteError(AppendRemoteError(nil, errQuota)); return e }, []error{errQuota}},
}

func init() {
	for how, e := range travellers {
		endings["error "+how] = e.make
	}
}

// sentinels are all that an error may match in these tests.
var sentinels = []error{
	errQuota, errPrivate, errHere, io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist, fs.ErrPermission, fs.ErrExist, os.ErrClosed, os.ErrDeadlineExceeded,
	context.Canceled, context.DeadlineExceeded, ErrClosed, ErrMoved, ErrLocked, ErrPeerClosed, ErrPartial, ErrFrame,
	ErrNotInitialized, ErrUnknownEntrypoint, ErrVersionMismatch, ErrNotReady, ErrNotEntrypoint,
}

func matchesExactly(t *testing.T, err error, want []error) {
	t.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) != slices.Contains(want, s) {
			t.Errorf("%q matches %q: %v", err, s, errors.Is(err, s))
		}
	}
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	ctx := test.Context(t)
	for how, want := range travellers {
		t.Run(how, func(t *testing.T) {
			_, err := ending(t, ctx, "error "+how, nil)
			var exit *ExitError
			if !errors.As(err, &exit) || exit.Err == nil {
				t.Fatalf("%T %v is no *ExitError with an error", err, err)
			}
			if how != "child alone" { // made here it would register
				test.Equal(t, exit.Err.Error(), want.make().Error())
			}
			matchesExactly(t, err, want.matches)
		})
	}
}

func TestRemoteErrorsMatchWhatTheyMatched(t *testing.T) {
	for how, want := range travellers {
		if how == "child alone" {
			continue
		}
		err := want.make()
		prefix := []byte("prefix")
		b := AppendRemoteError(prefix, err)
		test.Bytes(t, b[:len(prefix)], prefix)
		remote, errParse := ParseRemoteError(b[len(prefix):])
		test.Check(t, errParse)
		test.Equal(t, remote.Error(), err.Error())
		matchesExactly(t, remote, want.matches)
	}
	remote, err := ParseRemoteError(AppendRemoteError(nil, nil))
	test.Check(t, err)
	test.Check(t, remote)
}

func TestEachSentinelOfThisPackageTravels(t *testing.T) {
	for _, s := range sentinels {
		if s == errPrivate || s == errHere {
			continue
		}
		remote, err := ParseRemoteError(AppendRemoteError(nil, s))
		test.Check(t, err)
		test.Is(t, remote, s)
	}
}

func TestParseRemoteErrorTakesNoRubbish(t *testing.T) {
	huge, err := codec.Append(nil, map[string]any{"text": strings.Repeat("x", 1<<20)})
	test.Check(t, err)
	whole := AppendRemoteError(nil, errQuota)
	for _, src := range [][]byte{nil, {}, {0}, []byte("no luck"), whole[:len(whole)-1], append(slices.Clone(whole), 0), huge, bytes.Repeat([]byte{0x81}, 1<<18)} {
		remote, err := ParseRemoteError(src)
		var malformed *DecodeError
		if remote != nil || !errors.As(err, &malformed) || malformed.Size != len(src) {
			t.Errorf("%.20x…: %v, %T %v", src, remote, err, err)
		}
	}
}

func TestRegisterErrorPanicsForMisuse(t *testing.T) {
	test.Panics(t, func() { RegisterError("test.nil", nil) })
	test.Panics(t, func() { RegisterError("", errPrivate) })
	test.Panics(t, func() { RegisterError("test.errQuota", errPrivate) })
	test.Panics(t, func() { RegisterError("io.EOF", io.EOF) })
	test.Panics(t, func() { RegisterError("gipc.ErrClosed", ErrClosed) })
	test.Panics(t, func() { RegisterError(strings.Repeat("x", 256), errPrivate) })
}

// A child that sends an error which is none breaks the protocol.
func TestMalformedErrorOfAChildIsAnError(t *testing.T) {
	ctx := test.Context(t)
	_, err := ending(t, ctx, "error malformed", nil)
	if err == nil || !strings.Contains(err.Error(), "broke the protocol") {
		t.Error(err)
	}
}

func init() {
	endings["error malformed"] = func() error {
		inheritance.tell(report{Error: []byte("no luck")})
		select {} // until it is killed
	}
}
