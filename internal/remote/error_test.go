package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-gipc/gipc/internal/codec"
	"github.com/go-gipc/gipc/internal/test"
)

func parse(t testing.TB, src []byte) *Error {
	t.Helper()
	e, err := Parse(src)
	test.Check(t, err)
	return e
}

func TestTextsAreCutBetweenCharacters(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", ""},
		{"bad \xff", "bad \xff"},
		{strings.Repeat("x", MaxText), strings.Repeat("x", MaxText)},
		{strings.Repeat("x", MaxText+1), strings.Repeat("x", MaxText)},
		{"x" + strings.Repeat("é", MaxText/2), "x" + strings.Repeat("é", MaxText/2-1)},
		{strings.Repeat("\x80", MaxText+9), strings.Repeat("\x80", MaxText-utf8.UTFMax)},
	} {
		b := Append(nil, errors.New(c.text))
		if got := parse(t, b).Error(); got != c.want {
			t.Errorf("%d bytes came of %d, want %d", len(got), len(c.text), len(c.want))
		}
		uncut, err := codec.Append(nil, map[string]string{"text": c.text})
		test.Check(t, err)
		test.Equal(t, parse(t, uncut).Error(), c.want)
	}
}

// greedy matches everything.
type greedy struct{ error }

func (greedy) Is(error) bool { return true }

func TestEveryEncodingIsBelowMaxSize(t *testing.T) {
	for i := range 2 * maxMatched {
		test.Check(t, Register(fmt.Sprintf("%0*d", maxName, i), errors.New("one of many")))
	}
	b := Append(nil, greedy{errors.New(strings.Repeat("x", MaxText))})
	if len(b) > MaxSize {
		t.Errorf("%d bytes are above %d", len(b), MaxSize)
	}
	if n := len(parse(t, b).Unwrap()); n != maxMatched {
		t.Errorf("%d sentinels, want %d", n, maxMatched)
	}
	_, err := Parse(append(b, make([]byte, MaxSize)...))
	if err == nil || !strings.Contains(err.Error(), "above the limit") {
		t.Error(err)
	}
}

func TestUnknownNamesAreLeftOut(t *testing.T) {
	b, err := codec.Append(nil, map[string]any{
		"text": "here", "is": []string{"io.EOF", "elsewhere.ErrX", "", "io.EOF", "context.Canceled"}, "later": 1,
	})
	test.Check(t, err)
	e := parse(t, b)
	test.Equal(t, e.Error(), "here")
	if is := e.Unwrap(); len(is) != 2 || is[0] != io.EOF || is[1] != context.Canceled {
		t.Error(is)
	}
}

func TestOneSentinelMayHaveSeveralNames(t *testing.T) {
	err := errors.New("twice")
	test.Check(t, Register("test.first", err))
	test.Check(t, Register("test.second", err))
	test.Is(t, parse(t, Append(nil, err)), err)
}

// docs/protocol.md has these bytes.
func TestTheEncodingIsThatOfTheSpecification(t *testing.T) {
	test.Bytes(t, Append(nil, nil), []byte("\xf6"))
	test.Bytes(t, Append(nil, errors.New("no luck")), []byte("\xa1\x64text\x67no luck"))
	test.Bytes(t, Append(nil, io.EOF), []byte("\xa2\x64text\x63EOF\x62is\x81\x66io.EOF"))
}

func TestHostileNamesTakeLittleMemory(t *testing.T) {
	empty := make([]string, MaxSize-20)
	b, err := codec.Append(nil, map[string]any{"text": "", "is": empty})
	test.Check(t, err)
	const limit = 64 * MaxSize
	if n := test.Allocates(limit, func() { parse(t, b) }); n > limit {
		t.Errorf("%d bytes allocated for %d", n, len(b))
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Append(nil, nil))
	f.Add(Append(nil, io.EOF))
	f.Add(Append(nil, errors.Join(io.EOF, context.Canceled)))
	f.Fuzz(func(t *testing.T, src []byte) {
		e, err := Parse(src)
		if e == nil || err != nil {
			return
		}
		again := parse(t, Append(nil, e))
		test.Equal(t, again.Error(), e.Error())
		for _, s := range e.Unwrap() {
			test.Is(t, again, s)
		}
	})
}
