package gipc

import (
	"bytes"
	"container/list"
	"database/sql"
	"encoding/json"
	"io/fs"
	"log/slog"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"net/mail"
	"net/netip"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

const (
	asPut   = "as put"
	refused = "refused"
	changed = "changed" // stands for any other text
)

// verdict is what becomes of a type with CBOR and with JSON.
type verdict struct{ cbor, json string }

// judge sends put. equal, if it is not nil, says what counts as the same.
func judge[T any](t *testing.T, put T, equal func(put, got T) bool) verdict {
	t.Helper()
	if equal == nil {
		equal = func(put, got T) bool { return reflect.DeepEqual(put, got) }
	}
	of := func(c Codec[T]) string {
		if checkCodec(c) != nil {
			return refused
		}
		msg, err := c.Append(nil, put)
		test.Check(t, err)
		var got T
		test.Check(t, c.Decode(msg, &got))
		if equal(put, got) {
			return asPut
		}
		return changed
	}
	return verdict{of(CBOR[T]{}), of(JSON[T]{})}
}

// kinds has one verdict for several types.
func kinds(t *testing.T) verdict {
	t.Helper()
	want := verdict{asPut, asPut}
	for _, got := range []verdict{
		judge(t, true, nil), judge(t, math.MinInt, nil), judge(t, int8(-1), nil), judge(t, int16(-1), nil), judge(t, int32(-1), nil),
		judge(t, int64(math.MinInt64), nil), judge(t, uint(1), nil), judge(t, uint8(1), nil), judge(t, uint16(1), nil),
		judge(t, uint32(1), nil), judge(t, uint64(math.MaxUint64), nil), judge(t, "text", nil),
	} {
		if got != want {
			return got
		}
	}
	return want
}

func sameText[T interface{ String() string }](put, got T) bool { return put.String() == got.String() }

func verdicts(t *testing.T) map[string]verdict {
	network := net.IPNet{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}
	address, err := url.Parse("https://user:secret@example.com/a%20b?c=d#e")
	test.Check(t, err)
	record := slog.NewRecord(exactTime, slog.LevelInfo, "text", 0)
	record.AddAttrs(slog.Int("a", 1))
	return map[string]verdict{
		"`bool`, all sizes of `int` and `uint`, `string`": kinds(t),
		"`float64`":                            judge(t, math.Pi, nil),
		"`float32`":                            judge(t, float32(1.1), nil),
		"`complex128`":                         judge(t, 1i, nil),
		"`uintptr`":                            judge(t, uintptr(1), nil),
		"`[]byte`":                             judge(t, []byte{0, 255}, nil),
		"`[16]byte`":                           judge(t, [16]byte{1, 2}, nil),
		"`struct{}`":                           judge(t, struct{}{}, nil),
		"`map[string]int`":                     judge(t, map[string]int{"a": 1}, nil),
		"`map[int]string`":                     judge(t, map[int]string{-1: "a"}, nil),
		"`map[[2]int]string`":                  judge(t, map[[2]int]string{{1, 2}: "a"}, nil),
		"`any` that holds an `int`":            judge[any](t, 7, nil),
		"`any` that holds a `[]string`":        judge[any](t, []string{"a"}, nil),
		"`map[string]any` that holds a struct": judge(t, map[string]any{"a": parcel{}}, nil),
		"`error`":                              judge[error](t, nil, nil),
		"`chan int`":                           judge[chan int](t, nil, nil),
		"`func()`":                             judge[func()](t, nil, nil),
		"`time.Time`":                          judge(t, exactTime, func(put, got time.Time) bool { return same(got, put) }),
		"`time.Duration`":                      judge(t, time.Hour, nil),
		"`*time.Location`":                     judge(t, time.UTC, nil),
		"`big.Int`":                            judge(t, *new(big.Int).Lsh(big.NewInt(-3), 100), nil),
		"`*big.Int`":                           judge(t, new(big.Int).Lsh(big.NewInt(3), 100), nil),
		"`map[string]big.Int`":                 judge(t, map[string]big.Int{"a": *big.NewInt(3)}, nil),
		"`*big.Rat`":                           judge(t, big.NewRat(-1, 3), nil),
		"`*big.Float`": judge(t, new(big.Float).SetPrec(100).Quo(big.NewFloat(1), big.NewFloat(3)),
			func(put, got *big.Float) bool { return put.Cmp(got) == 0 }),
		"`netip.Addr`":        judge(t, netip.MustParseAddr("fe80::1%eth0"), nil),
		"`netip.AddrPort`":    judge(t, netip.MustParseAddrPort("10.0.0.1:80"), nil),
		"`netip.Prefix`":      judge(t, netip.MustParsePrefix("10.0.0.0/8"), nil),
		"`net.IP`":            judge(t, network.IP, func(put, got net.IP) bool { return put.Equal(got) }),
		"`net.IPNet`":         judge(t, network, func(put, got net.IPNet) bool { return put.String() == got.String() }),
		"`*net.TCPAddr`":      judge(t, &net.TCPAddr{IP: network.IP, Port: 80, Zone: "z"}, sameText),
		"`net.Addr`":          judge[net.Addr](t, nil, nil),
		"`url.URL`":           judge(t, *address, nil),
		"`url.Values`":        judge(t, url.Values{"a": {"b", "c"}}, nil),
		"`http.Header`":       judge(t, http.Header{"A": {"b"}}, nil),
		"`mail.Address`":      judge(t, mail.Address{Name: "n", Address: "a@b"}, nil),
		"`*regexp.Regexp`":    judge(t, regexp.MustCompile(`a+\d`), sameText),
		"`json.RawMessage`":   judge(t, json.RawMessage(`{"a":1}`), nil),
		"`json.Number`":       judge(t, json.Number("1.50"), nil),
		"`sql.NullString`":    judge(t, sql.NullString{String: "a", Valid: true}, nil),
		"`slog.Level`":        judge(t, slog.LevelError, nil),
		"`slog.Record`":       judge(t, record, nil),
		"`fs.FileMode`":       judge(t, fs.ModeDir|0o755, nil),
		"`bytes.Buffer`":      judge(t, bytes.Buffer{}, nil),
		"`strings.Builder`":   judge(t, strings.Builder{}, nil),
		"`list.List`":         judge(t, list.List{}, nil),
		"`rand.PCG`":          judge(t, *rand.NewPCG(1, 2), nil),
		"`sync.Mutex`":        judge[*sync.Mutex](t, nil, nil),
		"`atomic.Int64`":      judge[*atomic.Int64](t, nil, nil),
		"`*os.File`":          judge(t, os.Stdout, nil),
		"`*gipc.Reader[int]`": judge[*Reader[int]](t, nil, nil),
	}
}

// TestDocsTypes holds the table of docs/types.md.
func TestDocsTypes(t *testing.T) {
	text, err := os.ReadFile("docs/types.md")
	test.Check(t, err)
	want := verdicts(t)
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 3 || cells[0] == "type" {
			continue
		}
		v, known := want[cells[0]]
		if !known {
			t.Errorf("no test of the row %s", cells[0])
			continue
		}
		delete(want, cells[0])
		if got := (verdict{verdictOf(cells[1]), verdictOf(cells[2])}); got != v {
			t.Errorf("%s: the page says %+v, but it is %+v", cells[0], got, v)
		}
	}
	for row := range maps.Keys(want) {
		t.Errorf("docs/types.md has no row %s", row)
	}
}

// verdictOf reads a cell.
func verdictOf(cell string) string {
	for _, v := range []string{asPut, refused} {
		if strings.HasPrefix(cell, v) {
			return v
		}
	}
	return changed
}
