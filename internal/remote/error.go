package remote

import (
	"fmt"
	"unicode/utf8"

	"github.com/go-gipc/gipc/internal/codec"
)

const (
	// MaxText is how much of an error's text travels, in bytes.
	MaxText = 256 << 10

	// MaxSize is above what Append writes for any error, in bytes.
	MaxSize = 512 << 10
)

// Error is an error of another process.
type Error struct {
	text string
	is   []error
}

func (e *Error) Error() string { return e.text }

// Unwrap returns the sentinels that the error matched where it comes from.
func (e *Error) Unwrap() []error { return e.is }

// encoded is how an error travels: docs/protocol.md specifies it. A nil error is CBOR's null.
type encoded struct {
	Text string   `cbor:"text"`
	Is   []string `cbor:"is,omitempty"`
}

// Append appends the encoding of err to dst. A text above MaxText is cut. It calls the methods of err.
func Append(dst []byte, err error) []byte {
	var e *encoded
	if err != nil {
		e = &encoded{Text: cut(err.Error()), Is: namesOf(err)}
	}
	dst, _ = codec.Append(dst, e) // strings always have an encoding
	return dst
}

// Parse makes an error of what Append wrote, which is all of src; nil of a nil error. It keeps no reference to src.
func Parse(src []byte) (*Error, error) {
	if len(src) > MaxSize {
		return nil, fmt.Errorf("%d bytes are above the limit of %d", len(src), MaxSize)
	}
	var e *encoded
	if err := codec.Decode(src, &e); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, nil
	}
	return &Error{text: cut(e.Text), is: named(e.Is)}, nil
}

// cut shortens a text to MaxText, but not in the middle of a character.
func cut(text string) string {
	if len(text) <= MaxText {
		return text
	}
	n := MaxText
	for n > MaxText-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
