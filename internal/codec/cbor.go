package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"reflect"
	"sync"

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

// Encode writes the CBOR encoding of v to out. What [Decode] would refuse, it refuses.
func Encode(out *bytes.Buffer, v any) error {
	value := reflect.ValueOf(v)
	if !value.IsValid() {
		return usual().enc.MarshalToBuffer(v, out)
	}
	of := value
	if of.Kind() == reflect.Pointer && !of.IsNil() {
		of = of.Elem()
	}
	s := shapeOf(of.Type())
	if s.facts&watched == 0 {
		return s.mode.enc.MarshalToBuffer(v, out)
	}
	var l look
	var err error
	if k := of.Kind(); k == reflect.Pointer || k == reflect.Interface {
		err = l.value(of, 0)
	} else {
		err = l.shaped(of, s, 0)
	}
	if err != nil {
		return err
	}
	if l.oddTime {
		v = inWholeMinutes(value).Elem().Interface()
	}
	start := out.Len()
	if err := s.mode.enc.MarshalToBuffer(v, out); err != nil || !l.opaque {
		return err
	}
	written := out.Bytes()[start:]
	if err := checkHeads(written); err != nil {
		return err
	}
	return s.mode.dec.Wellformed(written)
}

// Decode decodes src, one whole message, into what v points to. Of the old value only memory is kept.
func Decode(src []byte, v any) error {
	value := reflect.ValueOf(v).Elem()
	s := shapeOf(value.Type())
	if len(src) > maxBignumBytes || mayNestTags(src) {
		if err := checkHeads(src); err != nil {
			return err
		}
	}
	if isZero(value) {
		return s.mode.dec.Unmarshal(src, v)
	}
	r := resetter{src: src}
	if !s.memory.reset(value, &r) {
		return s.mode.dec.Unmarshal(src, v)
	}
	err := s.mode.dec.Unmarshal(src, v)
	s.memory.settle(value, &r)
	return err
}

const (
	maxNesting     = 10_000   // of arrays and maps; encoding/json has the same
	maxTags        = 16       // around one item
	maxBignumBytes = 64 << 10 // of one integer beyond 64 bits

	// What does not fit its place the library prints in decimal, which costs more than linear time: 15 ms for 64 KiB.
	largeBytes    = 1 << 10   // an integer of more is large, and below that
	maxLargeBytes = 512 << 10 // is the limit of all large ones in a message
)

// mode is how values of a type are written and read.
type mode struct {
	enc cbor.UserBufferEncMode
	dec cbor.DecMode
}

// They are made when they are first needed: a program, or its child, that doesn't need them starts the faster.
var (
	usual  = modeOf(cbor.TextMarshalerNone, cbor.TextUnmarshalerNone)
	byText = modeOf(cbor.TextMarshalerTextString, cbor.TextUnmarshalerTextString) // of types that need it for a part
)

func modeOf(marshal cbor.TextMarshalerMode, unmarshal cbor.TextUnmarshalerMode) func() *mode {
	return sync.OnceValue(func() *mode {
		encoding, decoding := cborEncoding, cborDecoding
		encoding.TextMarshaler, decoding.TextUnmarshaler = marshal, unmarshal
		return &mode{must(encoding.UserBufferEncMode()), must(decoding.DecMode())}
	})
}

// Floats are written in their own width and with all their bits.
var cborEncoding = cbor.EncOptions{
	Time:        cbor.TimeRFC3339Nano,
	TimeTag:     cbor.EncTagRequired,
	NaNConvert:  cbor.NaNConvertNone,
	InfConvert:  cbor.InfConvertNone,
	IndefLength: cbor.IndefLengthForbidden,
}

// The library's own limits on lengths are for streams: here MaxMessage bounds the message, and the library
// checks that every array and map in it is as long as it claims before it allocates anything. Indefinite lengths
// are forbidden because it counts their items once for every level that they are nested in: a message
// of 1 MiB takes it a minute.
var cborDecoding = cbor.DecOptions{
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
}

// must is for options that never change.
func must[M any](mode M, err error) M {
	if err != nil {
		panic("gipc: " + err.Error())
	}
	return mode
}

// mayNestTags says whether src has enough bytes that look like a tag's head for more than maxTags around one item. Most
// messages have not, which takes a third of the time of looking at each head.
func mayNestTags(src []byte) bool {
	const top = 0x8080808080808080
	found := 0
	for len(src) >= 8 {
		word := binary.LittleEndian.Uint64(src)
		found += bits.OnesCount64(word & (word << 1) & ^(word << 2) & top) // bytes whose upper bits are 110
		src = src[8:]
	}
	for _, b := range src {
		if b&0xe0 == majorTag {
			found++
		}
	}
	return found > maxTags
}

// checkHeads refuses what the library takes far more than linear time for: it looks through all the tags of an item once
// for every tag, and prints a big integer that doesn't fit in decimal. Children follow their parent's head, so that one
// pass over all heads needs no stack. It leaves malformed messages to the library, which tells what is wrong.
func checkHeads(src []byte) error {
	tags, bignum, large := 0, false, 0
	for len(src) > 0 {
		if first := src[0]; first < majorTag && first&0x1f < 24 { // a small number, short text, the head of a short list
			skip := 1
			if first&0xc0 == majorBytes { // or text, which differs in one more bit
				skip += int(first & 0x1f)
			}
			if skip > len(src) {
				return nil
			}
			src = src[skip:]
			tags, bignum = 0, false
			continue
		}
		major, arg, size := readHead(src)
		if size == 0 {
			return nil
		}
		src = src[size:]
		switch major {
		case majorTag:
			if tags++; tags > maxTags {
				return errTags
			}
			bignum = arg == 2 || arg == 3
			continue
		case majorBytes, majorText:
			if arg > uint64(len(src)) {
				return nil
			}
			if bignum {
				if err := countInteger(&large, arg); err != nil {
					return err
				}
			}
			src = src[arg:]
		}
		tags, bignum = 0, false
	}
	return nil
}

var errTags = fmt.Errorf("more than %d CBOR tags around one item", maxTags)

// countInteger adds an integer's bytes to those of the large ones before it, and refuses what is above the limits.
func countInteger(large *int, size uint64) error {
	if size > maxBignumBytes {
		return fmt.Errorf("an integer of %d bytes is above the limit of %d", size, maxBignumBytes)
	}
	if size <= largeBytes {
		return nil
	}
	if *large += int(size); *large > maxLargeBytes {
		return fmt.Errorf("the integers of more than %d bytes have more than %d in all", largeBytes, maxLargeBytes)
	}
	return nil
}
