// Package output lets several processes share the writers that get their output.
package output

import (
	"io"
	"os"
	"reflect"
	"sync"
)

// locked is a writer for several goroutines.
type locked struct {
	mu         *sync.Mutex
	w          io.Writer
	comparable bool // w
}

// Lock returns a writer to w for several goroutines. If one of known, which Lock returned, writes to w, it is that one. A w that ==
// can't compare may be the same as one of kin, so they wait for each other. Files and nil are returned as they are.
func Lock(w io.Writer, known, kin []io.Writer) io.Writer {
	if _, isFile := w.(*os.File); w == nil || isFile {
		return w
	}
	if !reflect.ValueOf(w).Comparable() {
		return &locked{mu: sharedLock(kin), w: w}
	}
	for _, k := range known {
		if l, ok := k.(*locked); ok && l.comparable && l.w == w {
			return l
		}
	}
	return &locked{mu: new(sync.Mutex), w: w, comparable: true}
}

// sharedLock returns the lock of those of kin that can't be compared, or a new one.
func sharedLock(kin []io.Writer) *sync.Mutex {
	for _, k := range kin {
		if l, ok := k.(*locked); ok && !l.comparable {
			return l.mu
		}
	}
	return new(sync.Mutex)
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}
