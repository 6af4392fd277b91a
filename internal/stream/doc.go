// Package stream reads and writes byte streams so that a blocked call can be woken: by the end of its ctx, or by a call of
// Interrupt from another goroutine.
//
// A [Source] is what a reading end reads from, a [Sink] what a writing end writes to. Where the stream has deadlines, both
// use them. Where it has none, a goroutine of the Source sits in its Read, and a Sink says that it is not Interruptible.
// A stream belongs to its Source or Sink, its deadline included, and is closed with it.
//
// Memory is lent: a Source asks its [Lender] for memory when bytes are there, or for a small piece while it has to wait,
// so that an end that waits holds next to nothing. The chunks that ends gather frames in come from here too.
//
// This holds for each call that was interrupted: no byte is lost, and none is written twice. It returns ErrInterrupted, and
// its caller looks at its own ctx and state, and goes on unless these keep it from that.
package stream
