package measure

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/bench/internal/work"
)

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   Spread
	}{
		{nil, Spread{}},
		{[]float64{7}, Spread{7, 7, 7}},
		{[]float64{9, 1, 5}, Spread{5, 1, 9}},
		{[]float64{4, 1, 3, 2}, Spread{2.5, 1, 4}},
	} {
		before := slices.Clone(c.values)
		if got := SpreadOf(c.values); got != c.want {
			t.Errorf("SpreadOf(%v) = %v, want %v", c.values, got, c.want)
		}
		if !slices.Equal(c.values, before) {
			t.Errorf("SpreadOf changed %v into %v", before, c.values)
		}
	}
}

func TestRatios(t *testing.T) {
	if got, want := Ratios([]float64{10, 30, 1}, []float64{5, 60}), []float64{2, .5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// fake is a rival whose messages take a time each.
type fake struct {
	name    string
	message time.Duration
	opening error
	fails   int // the Run that fails; 0: none
	*journal
}

type journal struct {
	runs   []string
	closed []string
}

func (f *fake) Name() string    { return f.name }
func (f *fake) About() string   { return "a fake" }
func (f *fake) Version() string { return "1" }

func (f *fake) Open(work.Workload) (work.Session, error) {
	if f.opening != nil {
		return nil, f.opening
	}
	return &fakeSession{fake: f}, nil
}

type fakeSession struct {
	*fake
	ran int
}

func (s *fakeSession) Run(n int) (work.Round, error) {
	s.runs = append(s.runs, s.name)
	if s.ran++; s.ran == s.fails {
		return work.Round{}, errors.New("out of order")
	}
	d := s.message * time.Duration(n)
	return work.Round{Total: d, P50: s.message, P99: 2 * s.message}, nil
}

func (s *fakeSession) Close() error {
	s.closed = append(s.closed, s.name)
	return nil
}

func measured(kind work.Kind, rivals ...*fake) (Result, *journal) {
	var j journal
	var all []work.Rival
	for _, f := range rivals {
		f.journal = &j
		all = append(all, f)
	}
	o := Options{Rounds: 3, Round: time.Millisecond, Log: func(string, ...any) {}}
	return Run(work.Workload{Kind: kind, Base: "slow"}, all, o), &j
}

func TestRunAlternates(t *testing.T) {
	r, j := measured(work.Stream, &fake{name: "slow", message: 20 * time.Microsecond}, &fake{name: "fast", message: 10 * time.Microsecond})
	rounds := j.runs[len(j.runs)-6:]
	if got, want := strings.Join(rounds, " "), "slow fast fast slow slow fast"; got != want {
		t.Errorf("the rounds were %s, want %s", got, want)
	}
	fast := r.Rows[1]
	if fast.Time.Median != 10_000 || fast.Ratio != (Spread{2, 2, 2}) {
		t.Errorf("got %+v", fast)
	}
	if got := strings.Join(j.closed, " "); got != "slow fast" {
		t.Errorf("closed were %s", got)
	}
}

// TestWarmUp has a session whose first message takes long, and whose every second run is disturbed.
func TestWarmUp(t *testing.T) {
	c := &contestant{session: &slowStart{}}
	c.warmUp(10 * time.Millisecond)
	if c.n != 1000 {
		t.Errorf("%d messages in a round, want 1000", c.n)
	}
}

type slowStart struct{ ran int }

func (s *slowStart) Run(n int) (work.Round, error) {
	took := 10 * time.Microsecond * time.Duration(n)
	if s.ran++; s.ran%2 == 1 {
		took += time.Second
	}
	return work.Round{Total: took}, nil
}

func (*slowStart) Close() error { return nil }

func TestRunRoundTrips(t *testing.T) {
	r, _ := measured(work.Echo, &fake{name: "slow", message: 20 * time.Microsecond})
	if row := r.Rows[0]; row.P50.Median != 20_000 || row.P99.Median != 40_000 {
		t.Errorf("got %+v", row)
	}
}

func TestRunWithoutSome(t *testing.T) {
	missing := &work.MissingError{Tool: "cargo", Install: "apt install cargo", Err: errors.New("not found")}
	r, j := measured(work.Stream,
		&fake{name: "other", opening: work.ErrNotOffered},
		&fake{name: "missing", opening: missing},
		&fake{name: "broken", message: time.Millisecond, fails: 2},
		&fake{name: "good", message: time.Millisecond})
	if len(r.Rows) != 3 {
		t.Fatalf("got %d rows: %+v", len(r.Rows), r.Rows)
	}
	for i, want := range []string{"apt install cargo", "out of order", ""} {
		if got := r.Rows[i].Missing; !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("row %d: missing is %q, want %q in it", i, got, want)
		}
	}
	if got := strings.Join(j.closed, " "); got != "broken good" {
		t.Errorf("closed were %s", got)
	}
	if good := r.Rows[2]; good.Ratio != (Spread{}) || good.Time.Median != 1e6 {
		t.Errorf("got %+v", good)
	}
}
