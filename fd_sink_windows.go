package gipc

import (
	"context"
	"io"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
)

// newSink wraps w in the kind of sink that can do most with it. Of files and sockets, nothing says how much a cancelled
// write has written (MSDN, CancelIoEx and WSASend), so that theirs are never cancelled.
func newSink(w io.WriteCloser) sink {
	if f, ok := w.(*pipeFile); ok {
		return &pipeSink{pipe: f, measure: f.room}
	}
	if _, handle := w.(syscall.Conn); handle {
		return &streamSink{stream: w}
	}
	return newStreamSink(w)
}

// pipeSink writes to a pipe. Nothing says how much of a cancelled write has reached a pipe (NPFS completes it with a count
// of 0), unless it was a single byte. So where there is no room for all, the first byte is written alone. Until it is in
// the pipe the write can be interrupted; from then on only close ends it.
type pipeSink struct {
	pipe    *pipeFile
	measure func() int // pipe.room, but in tests under Wine
	writes  uint64

	mu          sync.Mutex
	committed   bool // what is under way can't be interrupted
	interrupted bool // the write deadline is in the past
}

func (s *pipeSink) write(_ context.Context, head, body []byte) (n int, err error) {
	if s.room() < len(head)+len(body) {
		s.writes++
		n, err = s.pipe.Write(head[:1])
	}
	if !s.commit() {
		return n, errInterrupted
	}
	defer s.end()
	if err != nil {
		return n, err
	}
	m, err := writeBoth(s.pipe, head[n:], body, &s.writes)
	return n + m, err
}

// commit begins what can't be interrupted, unless there was an interrupt already.
func (s *pipeSink) commit() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = !s.interrupted
	if s.interrupted {
		s.interrupted = false
		_ = s.setDeadline(time.Time{}) // fails only on a closed pipe, which shows when the write is tried again
	}
	return s.committed
}

func (s *pipeSink) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = false
}

func (s *pipeSink) interruptible() bool { return false }

func (s *pipeSink) interrupt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.committed || s.setDeadline(longAgo) != nil {
		return false
	}
	s.interrupted = true
	return true
}

func (s *pipeSink) setDeadline(t time.Time) error {
	u, err := s.pipe.use()
	if err != nil {
		return err
	}
	return u.SetWriteDeadline(t)
}

func (s *pipeSink) calls() uint64 { return s.writes }

func (s *pipeSink) room() int { return s.measure() }

func (s *pipeSink) close() error { return s.pipe.Close() }

var procNtQueryInformationFile = windows.NewLazySystemDLL("ntdll.dll").NewProc("NtQueryInformationFile")

// pipeRoom says how many bytes a pipe takes at once (MSDN, FILE_PIPE_LOCAL_INFORMATION). Wine 8 always says 0.
func pipeRoom(fd uintptr) (uint32, error) {
	const filePipeLocalInformation = 24
	var info struct {
		pipeType, configuration, maximumInstances, currentInstances uint32
		inboundQuota, readDataAvailable, outboundQuota              uint32
		writeQuotaAvailable, state, end                             uint32
	}
	var status windows.IO_STATUS_BLOCK
	code, _, _ := syscall.SyscallN(procNtQueryInformationFile.Addr(), fd, uintptr(unsafe.Pointer(&status)),
		uintptr(unsafe.Pointer(&info)), unsafe.Sizeof(info), filePipeLocalInformation)
	if code != 0 {
		return 0, windows.NTStatus(code)
	}
	return info.writeQuotaAvailable, nil
}
