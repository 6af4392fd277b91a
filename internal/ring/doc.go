// Package ring carries a byte stream through memory that two processes share, under the same [stream.Source] and
// [stream.Sink] as a pipe. A write copies into a ring, a read copies out of it, and neither makes a system call while the other
// side is awake.
//
// Two pipes belong to each ring. A byte in the one wakes a reader that sleeps because the ring is empty, a byte in the other a
// writer that sleeps because it is full. They carry nothing else. Their ends tell each side that the other one is gone: the
// reader then looks once more into the ring, because a writer puts its bytes there before anything else.
//
// Neither side trusts the other, which may write anything anywhere in the memory at any time. Each keeps its own index to
// itself and only publishes it. It reads the other's index once for each decision, and checks it against the capacity. What
// it copies out is whatever is there.
//
// A ring has one reading and one writing goroutine at a time. An end belongs to whoever made or opened it, who closes it. An
// end that is dropped without Close is given back by the garbage collector.
package ring
