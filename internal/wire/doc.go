// Package wire moves whole messages over byte streams. A message is a payload of bytes; package wire knows nothing of Go
// values, of codecs and of processes. docs/protocol.md specifies the format of a frame, docs/internals.md draws the states
// of both halves.
//
// An [Inbound] is the reading half of an end, an [Outbound] the writing half. Each owns its stream. All methods may be
// called from any number of goroutines at once.
//
// What holds at any moment:
//   - At most one goroutine reads, the one inside the Inbound's gate, and at most one writes, the one that set writing: a
//     Send, the drain, or a move. No lock is held across a read or a write.
//   - A message is delivered once, whole. A call that leaves early leaves the bytes that it has read for the next one.
//   - A frame whose first byte has been written is finished before any other byte is.
//   - A caller's memory is not touched after its call has returned.
//   - An end that waits holds no chunk, and memory follows the bytes that have arrived, not the length that was announced.
//   - Closing may come at any moment and wakes everybody.
package wire
