package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
)

const (
	maxName    = 255 // bytes of a sentinel's name
	maxMatched = 256 // sentinels that travel with one error
)

// sentinel is an error that is the same in both processes.
type sentinel struct {
	name string
	err  error
}

var (
	knownMu sync.Mutex
	ordered bool          // known is in the order of the names: nothing is put in order before it is needed
	known   = []sentinel{ // added to, but what is in it is never changed
		{"context.Canceled", context.Canceled},
		{"context.DeadlineExceeded", context.DeadlineExceeded},
		{"errors.ErrUnsupported", errors.ErrUnsupported},
		{"fs.ErrClosed", fs.ErrClosed},
		{"fs.ErrExist", fs.ErrExist},
		{"fs.ErrInvalid", fs.ErrInvalid},
		{"fs.ErrNotExist", fs.ErrNotExist},
		{"fs.ErrPermission", fs.ErrPermission},
		{"io.EOF", io.EOF},
		{"io.ErrUnexpectedEOF", io.ErrUnexpectedEOF},
		{"os.ErrDeadlineExceeded", os.ErrDeadlineExceeded},
		{"os.ErrProcessDone", os.ErrProcessDone},
	}
)

// Register gives a sentinel its name. The error says what is wrong with either. One sentinel may have several names.
func Register(name string, err error) error {
	switch {
	case err == nil:
		return fmt.Errorf("the error %q is nil", name)
	case name == "":
		return fmt.Errorf("the error %q has no name", err)
	case len(name) > maxName:
		return fmt.Errorf("the name %.20q… has %d bytes, more than %d", name, len(name), maxName)
	}
	knownMu.Lock()
	defer knownMu.Unlock()
	if slices.ContainsFunc(known, func(s sentinel) bool { return s.name == name }) {
		return fmt.Errorf("there is an error %q already", name)
	}
	known, ordered = append(known, sentinel{name, err}), false
	return nil
}

// all returns the sentinels in the order of their names.
func all() []sentinel {
	knownMu.Lock()
	defer knownMu.Unlock()
	if !ordered {
		known, ordered = sorted(slices.Clone(known)), true
	}
	return known
}

// namesOf returns the names of the sentinels that err matches. It calls the Is methods of err.
func namesOf(err error) (names []string) {
	for _, s := range all() {
		if len(names) < maxMatched && errors.Is(err, s.err) {
			names = append(names, s.name)
		}
	}
	return names
}

// named returns the sentinels with these names, each once. Names that are unknown here are left out.
func named(names []string) (sentinels []error) {
	in := all()
	seen := map[string]bool{}
	for _, name := range names {
		if s := find(in, name); s != nil && !seen[name] {
			seen[name] = true
			sentinels = append(sentinels, s.err)
		}
	}
	return sentinels
}

func find(in []sentinel, name string) *sentinel {
	i, found := slices.BinarySearchFunc(in, name, func(s sentinel, name string) int { return strings.Compare(s.name, name) })
	if !found {
		return nil
	}
	return &in[i]
}

func sorted(s []sentinel) []sentinel {
	slices.SortFunc(s, func(a, b sentinel) int { return strings.Compare(a.name, b.name) })
	return s
}
