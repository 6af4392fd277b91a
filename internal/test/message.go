package test

import (
	"bytes"
	"encoding/binary"
	"sync"
	"testing"
)

// PatternBytes has different bytes at nearby places, so that a shifted or repeated piece shows. It is made when a test
// first needs it, not in every child that is this program too.
var PatternBytes = sync.OnceValue(func() []byte {
	b := make([]byte, 2<<20)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = byte(x >> 24)
	}
	return b
})

// Pattern returns n bytes, up to 2 MiB, that nobody may change.
func Pattern(n int) []byte { return PatternBytes()[:n:n] }

// StampSize is the least size of a message of Stamped, in bytes.
const StampSize = 16

// Stamped returns a message that says who sent it as his which one, with contents that follow from that.
func Stamped(producer, seq, size int) []byte {
	size = max(size, StampSize)
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint64(b, uint64(producer))
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	return append(b, stampedRest(producer, seq, size)...)
}

func stampedRest(producer, seq, size int) []byte {
	at := (producer*131 + seq*17) % 1021
	return PatternBytes()[at : at+size-StampSize]
}

// ReadStamp checks a whole message that Stamped made.
func ReadStamp(t testing.TB, b []byte) (producer, seq int) {
	t.Helper()
	if len(b) < StampSize {
		t.Fatalf("message of %d bytes", len(b))
	}
	producer, seq = int(binary.BigEndian.Uint64(b)), int(binary.BigEndian.Uint64(b[8:]))
	if producer < 0 || producer > 1000 || !bytes.Equal(b[StampSize:], stampedRest(producer, seq, len(b))) {
		t.Fatalf("message torn: %d bytes %.40x…", len(b), b)
	}
	return producer, seq
}

// Tally notes what arrives and checks it: each message once, and those of a producer in order at each consumer.
type Tally struct {
	mu   sync.Mutex
	seen map[[2]int]bool
}

// Consumer returns a function that notes a message which one consumer got.
func (c *Tally) Consumer(t testing.TB) func(message []byte) {
	last := map[int]int{}
	return func(message []byte) {
		t.Helper()
		producer, seq := ReadStamp(t, message)
		if before, ok := last[producer]; ok && before >= seq {
			t.Errorf("producer %d: message %d came behind %d", producer, seq, before)
		}
		last[producer] = seq
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.seen[[2]int{producer, seq}] {
			t.Errorf("producer %d: message %d came twice", producer, seq)
		}
		if c.seen == nil {
			c.seen = map[[2]int]bool{}
		}
		c.seen[[2]int{producer, seq}] = true
	}
}

// Len returns how many messages came.
func (c *Tally) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

// Has says whether a producer's message came.
func (c *Tally) Has(producer, seq int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen[[2]int{producer, seq}]
}
