// Package remote carries errors between processes: an error's text, and which of the known sentinels it matches. Types and
// other values stay behind.
//
// A sentinel is known by a name, which [Register] gives it, and which both processes must use for the same value. [Append]
// encodes an error, [Parse] makes one that has the same text and matches the same sentinels.
//
// The functions may be called from several goroutines at once. An encoded error may come from a hostile process: Parse
// takes no more memory than a small multiple of MaxSize, and never panics.
package remote
