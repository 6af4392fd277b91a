// Package work has what a measurement needs of each side: the workloads, the interface behind which the rivals stand, and the
// loops of parent and child that are the same for all of them.
package work

import "fmt"

// Kind says what one message, or one turn, of a workload is.
type Kind string

// The kinds of workloads.
const (
	Stream Kind = "stream" // bytes from parent to child, counted there
	Echo   Kind = "echo"   // bytes to the child and back, one at a time
	Struct Kind = "struct" // a record.Record from parent to child
	Spawn  Kind = "spawn"  // a child starts, answers one message and ends
	Task   Kind = "task"   // an empty task of a pool
	Encode Kind = "encode" // a record.Record into memory
	Decode Kind = "decode" // a record.Record out of memory
)

// Workload is one table of the results.
type Workload struct {
	Kind     Kind
	Size     int    // bytes of a message; 0: given by the kind
	Senders  int    // goroutines that send at once on one end
	InFlight int    // tasks under way at once
	Codecs   bool   // compares codecs, not libraries
	Base     string // name of the rival that is 1
}

// ID names the workload on the command line.
func (w Workload) ID() string {
	switch {
	case w.Codecs && w.Kind == Struct:
		return "codec"
	case w.Kind == Stream && w.Senders > 1:
		return fmt.Sprintf("stream-%d-%d-senders", w.Size, w.Senders)
	case w.Size > 0:
		return fmt.Sprintf("%s-%d", w.Kind, w.Size)
	case w.InFlight > 0:
		return fmt.Sprintf("%s-%d", w.Kind, w.InFlight)
	}
	return string(w.Kind)
}

// Title says in words what is measured.
func (w Workload) Title() string {
	switch w.Kind {
	case Stream:
		if w.Senders > 1 {
			return fmt.Sprintf("%d goroutines send messages of %s", w.Senders, Bytes(w.Size))
		}
		return "Messages of " + Bytes(w.Size) + " to a child"
	case Echo:
		return "Round trips of " + Bytes(w.Size)
	case Struct:
		if w.Codecs {
			return "A struct of 7 fields through gipc, by codec"
		}
		return "A struct of 7 fields to a child"
	case Spawn:
		return "A child starts, answers one message and ends"
	case Task:
		return fmt.Sprintf("Empty tasks of a pool, %d in flight", w.InFlight)
	case Encode:
		return "The struct into memory"
	case Decode:
		return "The struct out of memory"
	}
	return string(w.Kind)
}

// Unit is what a time is for: "message", "round trip" and so on.
func (w Workload) Unit() string {
	switch w.Kind {
	case Echo:
		return "round trip"
	case Spawn:
		return "child"
	case Task:
		return "task"
	case Encode, Decode:
		return "value"
	}
	return "message"
}

// Units is the plural of Unit.
func (w Workload) Units() string {
	if w.Kind == Spawn {
		return "children"
	}
	return w.Unit() + "s"
}

// Bytes is a size for people: 64 B, 1 KiB.
func Bytes(n int) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
