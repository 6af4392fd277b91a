package codec

import (
	"bytes"
	"fmt"
	"math"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Append appends the CBOR encoding of v to dst.
func Append(dst []byte, v any) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	if err := Encode(out, v); err != nil {
		return dst, err
	}
	return out.Bytes(), nil
}

// Decode decodes src, one whole message, into what v points to. Of the old value only memory is kept.
func Decode(src []byte, v any) error {
	if err := checkHeads(src); err != nil {
		return err
	}
	Reset(reflect.ValueOf(v).Elem())
	return cborDecoding.Unmarshal(src, v)
}

// Encode writes the CBOR encoding of v to out.
func Encode(out *bytes.Buffer, v any) error {
	if err := checkNesting(reflect.ValueOf(v), 0); err != nil {
		return err
	}
	return cborEncoding.MarshalToBuffer(v, out)
}

const (
	maxNesting     = 10_000   // of arrays and maps; encoding/json has the same
	maxTags        = 16       // around one item
	maxBignumBytes = 64 << 10 // of one integer beyond 64 bits
)

// Floats are written in their own width and with all their bits, so that every value but a signalling NaN, which decoding
// makes quiet, arrives as it was put.
var cborEncoding = must(cbor.EncOptions{
	Time:        cbor.TimeRFC3339Nano,
	TimeTag:     cbor.EncTagRequired,
	NaNConvert:  cbor.NaNConvertNone,
	InfConvert:  cbor.InfConvertNone,
	IndefLength: cbor.IndefLengthForbidden,
}.UserBufferEncMode())

// The library's own limits on lengths are for streams: here MaxMessage bounds the message, and the library
// checks that every array and map in it is as long as it claims before it allocates anything. Indefinite lengths
// are forbidden because it counts their items once for every level that they are nested in: a message
// of 1 MiB takes it a minute.
var cborDecoding = must(cbor.DecOptions{
	DupMapKey:         cbor.DupMapKeyEnforcedAPF,
	TimeTag:           cbor.DecTagOptional,
	MaxNestedLevels:   maxNesting,
	MaxArrayElements:  math.MaxInt32,
	MaxMapPairs:       math.MaxInt32,
	IndefLength:       cbor.IndefLengthForbidden,
	IntDec:            cbor.IntDecConvertSignedOrBigInt,
	BigIntDec:         cbor.BigIntDecodePointer,
	UTF8:              cbor.UTF8DecodeInvalid,
	FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
}.DecMode())

func must[M any](mode M, err error) M {
	if err != nil {
		panic("gipc: " + err.Error())
	}
	return mode
}

// checkHeads refuses what the library takes far more than linear time for: it looks through all the tags of an item once
// for every tag, and prints a big integer that doesn't fit in decimal. Children follow their parent's head, so that one
// pass over all heads needs no stack. It leaves malformed messages to the library, which tells what is wrong.
func checkHeads(src []byte) error {
	tags, bignum := 0, false
	for len(src) > 0 {
		major, arg, size := readHead(src)
		if size == 0 {
			return nil
		}
		src = src[size:]
		switch major {
		case majorTag:
			if tags++; tags > maxTags {
				return fmt.Errorf("more than %d CBOR tags around one item", maxTags)
			}
			bignum = arg == 2 || arg == 3
			continue
		case majorBytes, majorText:
			if arg > uint64(len(src)) {
				return nil
			}
			if bignum && arg > maxBignumBytes {
				return fmt.Errorf("an integer of %d bytes is above the limit of %d", arg, maxBignumBytes)
			}
			src = src[arg:]
		}
		tags, bignum = 0, false
	}
	return nil
}
