package codec

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// Random types, and random values of any type.

type (
	inArray struct {
		_    struct{} `cbor:",toarray"`
		A    int
		Name string
		When time.Time
	}
	byNumber struct {
		A int            `cbor:"1,keyasint"`
		B []string       `cbor:"-2,keyasint,omitempty"`
		C map[string]int `cbor:"300,keyasint,omitzero"`
	}
	EmbeddedPart struct {
		Size  int64
		Notes []string
	}
	embedsAll struct {
		shipmentBase
		*EmbeddedPart
		Level  level
		hidden []int
		Local  []int `cbor:"-"`
	}
	hidesName struct {
		EmbeddedPart
		Size string // hides the embedded one
	}
	chain struct {
		Value any
		Next  *chain
	}
	twoNames struct {
		A int `cbor:"x"`
		B int `json:"x"`
	}
	letters [3]byte
	// ownCBOR writes itself as a number.
	ownCBOR struct{ n int64 }
)

func (o ownCBOR) MarshalCBOR() ([]byte, error) { return Append(nil, o.n) }

func (o *ownCBOR) UnmarshalCBOR(src []byte) error { return Decode(src, &o.n) }

// leaves are the types that random types are made of.
var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[int16](), reflect.TypeFor[int32](),
	reflect.TypeFor[int64](), reflect.TypeFor[uint](), reflect.TypeFor[uint8](), reflect.TypeFor[uint64](), reflect.TypeFor[float32](),
	reflect.TypeFor[float64](), reflect.TypeFor[string](), reflect.TypeFor[[]byte](), reflect.TypeFor[any](), reflect.TypeFor[level](),
	reflect.TypeFor[label](), reflect.TypeFor[weight](), reflect.TypeFor[blob](), reflect.TypeFor[letters](), reflect.TypeFor[time.Duration](),
	reflect.TypeFor[time.Time](), reflect.TypeFor[big.Int](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[parcel](),
	reflect.TypeFor[shipment](), reflect.TypeFor[inArray](), reflect.TypeFor[byNumber](), reflect.TypeFor[embedsAll](),
	reflect.TypeFor[hidesName](), reflect.TypeFor[ownCBOR](), reflect.TypeFor[chain](), reflect.TypeFor[size](), reflect.TypeFor[halfSet](), reflect.TypeFor[struct{}](),
	// By their text.
	reflect.TypeFor[textual](), reflect.TypeFor[big.Rat](), reflect.TypeFor[*regexp.Regexp](),
	// Refused.
	reflect.TypeFor[twoNames](), reflect.TypeFor[chan int](), reflect.TypeFor[error](), reflect.TypeFor[hidden](), reflect.TypeFor[complex128](),
}

// keys are those of them that random maps have for keys.
var keys = []reflect.Type{
	reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[uint8](), reflect.TypeFor[bool](), reflect.TypeFor[label](),
	reflect.TypeFor[parcel](), reflect.TypeFor[netip.Addr](), reflect.TypeFor[letters](), reflect.TypeFor[textual](), reflect.TypeFor[float64](),
}

var fieldTags = []string{
	"", "", "", `cbor:",omitempty"`, `cbor:",omitzero"`, `json:"%d_name"`, `cbor:"%d,keyasint"`, `cbor:"n%d,omitempty" json:"same"`,
	`cbor:"-"`, `json:"same,omitempty"`,
}

// randomType makes a type of at most depth levels.
func randomType(r *rand.Rand, depth int) reflect.Type {
	if depth == 0 || r.IntN(4) == 0 {
		return leaves[r.IntN(len(leaves))]
	}
	switch r.IntN(6) {
	case 0:
		return reflect.PointerTo(randomType(r, depth-1))
	case 1:
		return reflect.SliceOf(randomType(r, depth-1))
	case 2:
		return reflect.ArrayOf(r.IntN(4), randomType(r, depth-1))
	case 3:
		return reflect.MapOf(keys[r.IntN(len(keys))], randomType(r, depth-1))
	}
	var fields []reflect.StructField
	for i := range r.IntN(6) {
		tag := strings.ReplaceAll(fieldTags[r.IntN(len(fieldTags))], "%d", strconv.Itoa(i))
		fields = append(fields, reflect.StructField{Name: fmt.Sprint("F", i), Type: randomType(r, depth-1), Tag: reflect.StructTag(tag)})
	}
	return reflect.StructOf(fields)
}

// source gives the bytes of a fuzzer's input as choices. Behind its end all are the first.
type source struct{ bytes []byte }

func (s *source) choose(n int) int {
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return int(b) % n
}

// fill sets v, which is zero, to a value of its type that can be sent.
func (s *source) fill(v reflect.Value, depth int) {
	switch p := v.Addr().Interface().(type) {
	case *time.Time:
		*p = s.time()
		return
	case *big.Int:
		p.Set(s.integer())
		return
	case *big.Rat:
		p.SetFrac64(int64(s.choose(200)-100), int64(s.choose(9)+1))
		return
	case **regexp.Regexp:
		if s.choose(2) == 1 {
			*p = regexp.MustCompile("a+")
		}
		return
	case *netip.Addr:
		*p = []netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")}[s.choose(3)]
		return
	case *textual:
		p.text = s.text()
		return
	case *ownCBOR:
		p.n = int64(s.choose(100))
		return
	case *any:
		*p = s.any(depth)
		return
	case *embedsAll:
		p.hidden = []int{1}
	}
	s.fillKind(v, depth)
}

func (s *source) fillKind(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(s.choose(2) == 1)
	case reflect.String:
		v.SetString(s.text())
	case reflect.Float32:
		*bits32(v) = []uint32{0, 1 << 31, 0x3fc00000, 0x7f800000, 0x7fc00001, 0x7f800001, 1, math.Float32bits(math.MaxFloat32)}[s.choose(8)]
	case reflect.Float64:
		v.SetFloat([]float64{0, math.Copysign(0, -1), 1.5, math.Inf(-1), math.Pi, 5e-324, math.MaxFloat64, 1e300}[s.choose(8)])
	case reflect.Pointer:
		if depth > 0 && s.choose(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			s.fill(v.Elem(), depth-1)
		}
	case reflect.Slice:
		if n := s.choose(5) - 1; n >= 0 && depth > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n+s.choose(3)))
		}
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			s.fill(v.Index(i), depth-1)
		}
	case reflect.Map:
		if n := s.choose(4) - 1; n >= 0 && depth > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n {
				key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
				s.fill(key, depth-1)
				s.fill(elem, depth-1)
				v.SetMapIndex(key, elem)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				s.fill(f, depth-1)
			} else if v.Type().Field(i).Anonymous && f.Kind() == reflect.Struct {
				s.fillKind(f, depth-1)
			}
		}
	default:
		i := test.EdgeInts[s.choose(len(test.EdgeInts))]
		if v.CanInt() {
			v.SetInt(i)
		} else if v.CanUint() {
			v.SetUint(uint64(i))
		}
	}
}

func (s *source) text() string { return []string{"", "a", "\xff\x00", "naïve"}[s.choose(4)] }

func (s *source) integer() *big.Int {
	i := new(big.Int).Lsh(big.NewInt(int64(s.choose(5)-2)), uint(s.choose(80)))
	return i.Add(i, big.NewInt(int64(s.choose(3)-1)))
}

func (s *source) time() time.Time {
	if s.choose(4) == 0 {
		return time.Time{}
	}
	zones := []*time.Location{time.UTC, time.FixedZone("", 5400), time.FixedZone("", -1172), time.FixedZone("odd", 3630)}
	return time.Date(1+s.choose(200)*40, 5, 6, 7, 8, 9, s.choose(2)*123456789, zones[s.choose(4)])
}

// any makes values of Go's own types and of some others.
func (s *source) any(depth int) any {
	if depth <= 0 {
		return nil
	}
	switch s.choose(14) {
	case 1:
		return s.choose(2) == 1
	case 2:
		return test.EdgeInts[s.choose(len(test.EdgeInts))]
	case 3:
		return uint64(test.EdgeInts[s.choose(len(test.EdgeInts))])
	case 4:
		return float32(1.5)
	case 5:
		return s.text()
	case 6:
		return []byte(s.text())
	case 7:
		return []any{s.any(depth - 1), s.any(depth - 1)}
	case 8:
		return map[any]any{s.text(): s.any(depth - 1), 7: s.any(depth - 1)}
	case 9:
		return s.time()
	case 10:
		return s.integer()
	case 11:
		return parcel{s.text(), int64(s.choose(2))}
	case 12:
		return []float32{1, 2}
	case 13:
		return &parcel{s.text(), 1}
	}
	return nil
}
