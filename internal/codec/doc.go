// Package codec has what gipc's codecs do for values of any type: CBOR by fxamacker/cbor, with limits against hostile input,
// and the check, once for each type, whether a type can be encoded at all. It knows nothing of channels: what a handle is,
// a function tells that the [Checker] is given.
//
// fxamacker/cbor alone reads and writes CBOR, but for numbers, strings and bytes (plain.go). What it would get wrong is dealt
// with around it: a value is looked at before it is encoded (look.go), as far as its type may hold such things (shape.go), and
// a used value is made as good as new before it is decoded into (reset.go).
//
// The functions have no state but what is known of types, and may be called from several goroutines at once. None keeps a
// reference to a value or a message.
//
// A message may come from a hostile process: [Decode] takes no more memory and time than a small multiple of what an honest
// message of its size takes, and never panics.
package codec
