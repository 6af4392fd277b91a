//go:build unix

package gipc

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/test"
)

// The processes of a round of TestChaos, and the links between them, have numbers below these.
const (
	chaosNodes = 64 // so that a set of them is a uint64
	chaosLinks = 24
)

// chaosLedger is memory that all processes of a round share. What was noted there outlives whoever noted it, so that it can be
// compared with what arrived.
type chaosLedger struct {
	finished [chaosNodes]atomic.Bool // it has done all it had to
	links    [chaosLinks]chaosEntry
	suffered [len(chaosFaults)]atomic.Int64 // how often each
}

// chaosEntry is what is known of a link.
type chaosEntry struct {
	accepted atomic.Int64  // at least so many messages are in the pipe, or beyond it
	received atomic.Int64  // messages
	senders  atomic.Uint64 // the set of processes that had the writing end
	readers  atomic.Uint64 // of those that had the reading end
	in, out  atomic.Uint32 // how each end was ended: a chaosEnd
}

// chaosEnd is how an end of a link was ended.
type chaosEnd uint32

const (
	endNone   chaosEnd = iota // not by anybody who could note it
	endClosed                 // the Writer was closed, the Reader got io.EOF
	endCut                    // the Reader got io.ErrUnexpectedEOF, the Writer ErrPeerClosed
	endEarly                  // it was closed here, in the middle
)

// chaosFaults are what is counted.
var chaosFaults = [...]string{
	"plan error", "plan panic", "plan exit", "plan die", "plan memory",
	"fate suspend", "fate Kill", "fate SIGKILL", "fate Terminate", "fate Stop", "fate cancel",
	"few descriptors", "Reader closed early", "Writer closed early", "Reader handed on", "Writer handed on", "call cancelled",
	"message",
}

// note counts a fault.
func (l *chaosLedger) note(fault string) { l.suffered[slices.Index(chaosFaults[:], fault)].Add(1) }

// newChaosLedger makes a ledger in a file.
func newChaosLedger(t *testing.T) (*chaosLedger, *os.File) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "ledger")
	test.Check(t, err)
	test.Check(t, file.Truncate(int64(unsafe.Sizeof(chaosLedger{}))))
	ledger, err := openChaosLedger(file)
	test.Check(t, err)
	return ledger, file
}

func openChaosLedger(file *os.File) (*chaosLedger, error) {
	const size = int(unsafe.Sizeof(chaosLedger{}))
	mem, err := unix.Mmap(int(file.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the ledger: %w", err)
	}
	return (*chaosLedger)(unsafe.Pointer(&mem[0])), nil
}

func (l *chaosLedger) close() error {
	return unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(l)), unsafe.Sizeof(*l)))
}

// allFinished says whether all processes of a set have done all they had to.
func (l *chaosLedger) allFinished(set uint64) bool {
	for id := range chaosNodes {
		if set&(1<<id) != 0 && !l.finished[id].Load() {
			return false
		}
	}
	return true
}

// check says what is wrong with a link, when all processes have ended; "" if nothing is.
func (l *chaosLedger) check(link chaosLink) string {
	e := &l.links[link.ID]
	accepted, received := e.accepted.Load(), e.received.Load()
	in, out := chaosEnd(e.in.Load()), chaosEnd(e.out.Load())
	sendersWell, readersWell := l.allFinished(e.senders.Load()), l.allFinished(e.readers.Load())
	switch {
	case !readersWell && !sendersWell:
		return ""
	case readersWell && in == endNone:
		return "a process had the Reader, and has noted no end"
	case sendersWell && out == endNone:
		return "a process had the Writer, and has noted no end"
	case readersWell && in == endCut && sendersWell && out == endClosed:
		return "it was closed, and the Reader got io.ErrUnexpectedEOF"
	case sendersWell && out == endCut && readersWell && in != endEarly:
		return "the Writer got ErrPeerClosed, though nobody had closed the Reader"
	case readersWell && in == endClosed && received != int64(link.N*link.Lanes):
		return fmt.Sprintf("%d of %d messages came before io.EOF", received, link.N*link.Lanes)
	case readersWell && in == endCut && received < accepted:
		return fmt.Sprintf("%d messages came of %d that were in the pipe", received, accepted)
	}
	return ""
}
