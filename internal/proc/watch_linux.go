package proc

import (
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/go-gipc/gipc/internal/fd"
)

// watcher calls functions when descriptors have something to read, without a goroutine for each of them. One epoll instance has
// the descriptors, and one goroutine waits for that in Go's poller. Both are there while something is watched.
type watcher struct {
	mu     sync.Mutex
	epoll  *os.File          // nil while nothing is watched
	number int               // its descriptor
	calls  map[uint64]func() // what is watched, by keys that are used once: a descriptor's number is soon used again
	last   uint64            // the last key
}

// watched are the descriptors of all children.
var watched watcher

// watchExit makes the end of a child call f once, on a goroutine of its own. It fails on kernels before Linux 5.3, and without
// descriptors left.
func watchExit(pid int, f func()) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	_, err = watched.add(pidfd, func() {
		_ = unix.Close(pidfd)
		f()
	})
	if err != nil {
		_ = unix.Close(pidfd)
	}
	return err
}

// watchPipe makes a pipe call f once, on a goroutine of its own, when there is something to read, until unwatch is called. A
// pipe at its end has nothing to read.
func watchPipe(pipe fd.End, f func()) (unwatch func(), err error) {
	key, err := watched.add(fd.Number(pipe), f)
	return func() { watched.remove(key) }, err
}

// add makes a descriptor call f once, on a goroutine of its own, when there is something to read, until remove.
func (w *watcher) add(fd int, f func()) (key uint64, err error) {
	w.mu.Lock()
	if w.epoll == nil {
		err = w.open()
	}
	if err == nil {
		w.last++
		key = w.last
		w.calls[key] = f
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: int32(key), Pad: int32(key >> 32)}
		err = os.NewSyscallError("epoll_ctl", unix.EpollCtl(w.number, unix.EPOLL_CTL_ADD, fd, &event))
	}
	w.mu.Unlock()
	if err != nil {
		w.remove(key)
	}
	return key, err
}

// remove ends the watching of a descriptor that has not called its function. The descriptor must be closed then.
func (w *watcher) remove(key uint64) {
	w.mu.Lock()
	_, watched := w.calls[key]
	delete(w.calls, key)
	var unused *os.File
	if watched && len(w.calls) == 0 {
		unused, w.epoll = w.epoll, nil
	}
	w.mu.Unlock()
	if unused != nil { // Close waits for run, which may wait for the lock
		_ = unused.Close()
	}
}

// open begins to wait. The lock is held.
func (w *watcher) open() error {
	number, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	_ = unix.SetNonblock(number, true) // for os.NewFile; it fails only on what is not open
	epoll := os.NewFile(uintptr(number), "epoll")
	conn, err := epoll.SyscallConn()
	if err == nil {
		err = epoll.SetReadDeadline(time.Time{}) // fails where Go's poller has not taken it
	}
	if err != nil {
		_ = epoll.Close()
		return err
	}
	w.epoll, w.number, w.calls = epoll, number, map[uint64]func(){}
	go w.run(epoll, conn)
	return nil
}

// run calls the functions until nothing is watched any more. The last ones are called when the epoll instance is closed.
func (w *watcher) run(epoll *os.File, conn syscall.RawConn) {
	events := make([]unix.EpollEvent, 32)
	for over := false; !over; {
		var due []func()
		err := conn.Read(func(number uintptr) bool {
			n, _ := unix.EpollWait(int(number), events, 0) // doesn't wait
			due, over = w.take(epoll, events[:max(n, 0)])
			return n > 0 || over
		})
		if err != nil { // remove has closed it
			return
		}
		if over {
			_ = epoll.Close()
		}
		for _, f := range due {
			go f()
		}
	}
}

// take returns the functions of the descriptors that have something to read, and whether no others are watched.
func (w *watcher) take(epoll *os.File, events []unix.EpollEvent) (due []func(), over bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range events {
		key := uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
		if f, watched := w.calls[key]; watched && e.Events&unix.EPOLLIN != 0 {
			due = append(due, f)
		}
		delete(w.calls, key)
	}
	if w.epoll == epoll && len(w.calls) == 0 {
		w.epoll = nil
	}
	return due, w.epoll != epoll
}
