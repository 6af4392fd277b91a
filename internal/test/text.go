package test

import (
	"strings"
	"sync"
)

// Text is what a Logger, or a child, writes. A test may look at it at any time.
type Text struct {
	mu sync.Mutex
	b  strings.Builder
}

// Write implements io.Writer.
func (x *Text) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(b)
}

// String returns all that was written.
func (x *Text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// Has says whether text was written.
func (x *Text) Has(text string) bool { return strings.Contains(x.String(), text) }
