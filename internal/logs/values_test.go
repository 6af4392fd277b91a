package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/netip"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// The handlers in child and parent together do what a handler must.
func TestTheTwoSidesAreAHandler(t *testing.T) {
	var s *serving
	var out bytes.Buffer
	slogtest.Run(t, func(t *testing.T) slog.Handler {
		out.Reset()
		s = serve(t, asJSON(&out))
		return NewHandler(s.in, slog.LevelDebug)
	}, func(t *testing.T) map[string]any {
		test.Check(t, s.end())
		var m map[string]any
		test.Check(t, json.Unmarshal(out.Bytes(), &m))
		return m
	})
}

type named struct {
	A int
	B []string
}

type level int

func (l level) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("depth", int(l)), slog.Any("again", again{}))
}

type again struct{}

func (again) LogValue() slog.Value { return slog.StringValue("resolved") }

// What a handler writes for a record is the same whether the record has crossed the border or not.
func TestRecordsAreTheSameOnTheOtherSide(t *testing.T) {
	east := time.FixedZone("", 5*3600+1800)
	for name, a := range map[string]slog.Attr{
		"string": slog.String("k", "a \"b\"\n\tc\u2028é<&>"), "empty": slog.String("k", ""), "no key": slog.String("", "x"),
		"bool": slog.Bool("k", true), "int": slog.Int64("k", math.MinInt64), "uint": slog.Uint64("k", math.MaxUint64),
		"float": slog.Float64("k", 1.0/3), "huge": slog.Float64("k", math.MaxFloat64), "duration": slog.Duration("k", -time.Hour),
		"time": slog.Time("k", time.Date(2026, 1, 2, 3, 4, 5, 6, east)), "utc": slog.Time("k", time.Unix(1e9, 1).UTC()),
		"nil": slog.Any("k", nil), "zero": {}, "error": slog.Any("k", errors.New("no luck")),
		"text": slog.Any("k", netip.MustParseAddr("::1")), "level": slog.Any("k", slog.LevelWarn+1),
		"group":  slog.Group("g", "a", 1, slog.Group("h", "b", "c"), "d", 2.5),
		"inline": slog.Group("", "a", 1, "b", 2), "empty group": slog.Group("g"),
		"valuer": slog.Any("k", level(3)),
	} {
		log := func(l *slog.Logger) {
			test.Check(t, l.Handler().Handle(t.Context(), recordAt(name, a, slog.Int("last", 1))))
		}
		for _, to := range []func(*bytes.Buffer) slog.Handler{asJSON, asText} {
			var direct bytes.Buffer
			log(slog.New(to(&direct)))
			test.Equal(t, carried(t, log, to), direct.String())
		}
	}
}

func TestJSONFormsAreTheSameOnTheOtherSide(t *testing.T) {
	for name, v := range map[string]any{
		"struct": named{7, []string{"<x>", "y"}}, "pointer": &named{}, "map": map[string]int{"b": 1, "a": 2}, "list": []any{1, "x", nil, 2.5},
		"raw": json.RawMessage("{\n \"a\": 1}"), "number": json.Number("123456789012345678901234567890"), "named": level(4) + 0,
	} {
		log := func(l *slog.Logger) { test.Check(t, l.Handler().Handle(t.Context(), recordAt(name, slog.Any("k", v)))) }
		var direct bytes.Buffer
		log(slog.New(asJSON(&direct)))
		test.Equal(t, carried(t, log, asJSON), direct.String())
	}
}

type panicky struct{}

func (panicky) MarshalJSON() ([]byte, error) { panic("oh") }

type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestValuesWithoutAJSONFormTravelAsText(t *testing.T) {
	cyclic := map[string]any{}
	cyclic["itself"] = cyclic
	behind := map[string]any{"a": func() {}} // json finds this first
	behind["b"] = behind
	deep := slog.StringValue("bottom")
	for range 3 * maxNesting {
		deep = slog.GroupValue(slog.Attr{Key: "g", Value: deep})
	}
	for want, v := range map[string]any{
		"+Inf": math.Inf(1), "NaN": math.NaN(), "(1+2i)": 1 + 2i, "{A:NaN}": struct{ A float64 }{math.NaN()},
		"!PANIC: oh": panicky{}, "<nil>": (*nilError)(nil), "0x": make(chan int), "encountered a cycle": cyclic, "unsupported type: func()": behind,
		"10000-01-01 00:00:00": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "bottom": deep,
	} {
		var r recorder
		s := serve(t, &r)
		slog.New(NewHandler(s.in, slog.LevelInfo)).Info("m", "k", v)
		test.Check(t, s.end())
		var got slog.Value
		for _, record := range r.got() {
			record.Attrs(func(a slog.Attr) bool { got = a.Value; return true })
		}
		if !strings.Contains(got.String(), want) {
			t.Errorf("%v came as %v, want %s", v, got, want)
		}
	}
}

func TestTimesLevelsAndSourceAreThoseOfTheChild(t *testing.T) {
	var r recorder
	s := serve(t, &r)
	h := NewHandler(s.in, -100)
	want := recordAt("m")
	want.Level = -7
	test.Check(t, h.Handle(t.Context(), want))
	slog.New(h).Error("here")
	test.Check(t, s.end())
	got := r.got()
	if len(got) != 2 || !got[0].Time.Equal(want.Time) || got[0].Level != -7 || got[1].Level != slog.LevelError {
		t.Fatal(got)
	}
	_, offset := got[0].Time.Zone()
	test.Equal(t, offset, 3600)
	var source *slog.Source
	got[1].Attrs(func(a slog.Attr) bool { source = a.Value.Any().(*slog.Source); return true })
	if !strings.HasSuffix(source.Function, "logs.TestTimesLevelsAndSourceAreThoseOfTheChild") || !strings.HasSuffix(source.File, "values_test.go") || source.Line == 0 {
		t.Errorf("%+v", source)
	}
	test.Equal(t, got[0].NumAttrs(), 0)
}

func TestLowestIsTheLevelThatTheHandlerHas(t *testing.T) {
	at := func(l slog.Level) slog.Handler { return slog.NewTextHandler(nil, &slog.HandlerOptions{Level: l}) }
	for l := slog.Level(leastAsked) + 1; l <= mostAsked; l++ {
		test.Equal(t, Lowest(t.Context(), at(l)), l)
	}
	for h, want := range map[slog.Handler]slog.Level{
		at(-1000): math.MinInt, at(leastAsked): math.MinInt, at(1000): mostAsked + 1,
		only(slog.LevelWarn): slog.LevelWarn, only(math.MaxInt): mostAsked + 1,
	} {
		test.Equal(t, Lowest(t.Context(), h), want)
	}
}

// only is a handler that is enabled for one level.
type only slog.Level

func (o only) Enabled(_ context.Context, l slog.Level) bool { return l == slog.Level(o) }
func (o only) Handle(context.Context, slog.Record) error    { return nil }
func (o only) WithAttrs([]slog.Attr) slog.Handler           { return o }
func (o only) WithGroup(string) slog.Handler                { return o }

func TestRecordsThatAreTooLongLoseTheirAttributes(t *testing.T) {
	for _, long := range []func(*slog.Logger){
		func(l *slog.Logger) { l.Info(strings.Repeat("\x00", maxLine), "k", "v") },
		func(l *slog.Logger) { l.Info("\x00\x00", "k", strings.Repeat("x", maxLine)) },
	} {
		var r recorder
		s := serve(t, &r)
		l := slog.New(NewHandler(s.in, slog.LevelInfo))
		long(l)
		l.Info("next")
		test.Check(t, s.end())
		got := r.got()
		if len(got) != 2 || !strings.HasPrefix(got[0].Message, "\x00\x00") || got[1].Message != "next" {
			t.Fatal(len(got))
		}
		var last slog.Attr
		got[0].Attrs(func(a slog.Attr) bool { last = a; return true })
		if last.Key != "truncated" || last.Value.Int64() < maxLine {
			t.Error(last)
		}
	}
}

func TestHandlersDontShareWhatTheyAdd(t *testing.T) {
	log := func(l *slog.Logger) {
		base := l.With("a", 1).WithGroup("g").With("b", 2)
		one, two := base.With("c", 3), base.WithGroup("h").With("d", 4)
		one.Info("one", "e", 5)
		two.Info("two", "e", 6)
		base.WithGroup("").Info("base")
	}
	noTime := func(out *bytes.Buffer) slog.Handler {
		return slog.NewTextHandler(out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return withoutSource(nil, a)
		}})
	}
	var direct bytes.Buffer
	log(slog.New(noTime(&direct)))
	test.Equal(t, carried(t, log, noTime), direct.String())
}
