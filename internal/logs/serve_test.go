package logs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func TestAHandlerThatBlocksCostsRecordsAndNoTime(t *testing.T) {
	test.Bounded(t)
	got := &recorder{gate: make(chan struct{})}
	s := serve(t, got)
	const records = 2000
	padding := strings.Repeat("x", 10<<10)
	for i := range records { // 20 MiB: the write blocks unless the parent reads
		s.write(lineOf(recordAt(fmt.Sprint("record ", i), slog.String("p", padding))))
	}
	s.exit()
	close(got.gate)
	test.Check(t, s.group.Wait())
	test.Eventually(t, "all are counted", func() bool { // after the two seconds for the handler, where this is slow
		messages, dropped := got.messages()
		return len(messages)+dropped == records
	})
	messages, dropped := got.messages()
	isNumbered(t, messages, records)
	if dropped < records/2-2 {
		t.Errorf("%d records arrived and %d were dropped, of %d", len(messages), dropped, records)
	}
}

// A child says how many records it has dropped. Where that is dropped, too, these are counted all the same.
func TestWhatWasDroppedBeforeIsCounted(t *testing.T) {
	full := newQueue()
	line := []byte(strings.Repeat("x", maxLine))
	for range maxWaiting/maxLine + 1 {
		full.add(line)
	}
	full.add(droppedLine(500))
	waiting := newQueue()
	waiting.add(line)
	waiting.add(droppedLine(500))
	for q, others := range map[*queue]int64{full: maxWaiting/maxLine + 1, waiting: 1} {
		q.drop()
		e, _ := q.next()
		test.Equal(t, e.dropped, others+500)
	}
}

// The count of dropped records stands where they are missing.
func TestRecordsBehindTheDroppedOnesArrive(t *testing.T) {
	test.Bounded(t)
	q := newQueue()
	line := []byte(strings.Repeat("x", maxLine))
	for range maxWaiting / maxLine {
		q.add(line)
	}
	q.add([]byte("small"))
	for range 3 {
		q.add(line)
	}
	held := 0
	for _, e := range q.waiting {
		if e.line != nil {
			held += cap(e.line) + perLine
		}
	}
	if held > maxWaiting || held != q.size {
		t.Errorf("%d bytes are held, %d counted", held, q.size)
	}
	_, _ = q.next()
	q.add(line[:10:10])
	q.end()
	var order []string
	for e, ok := q.next(); ok; e, ok = q.next() {
		if len(e.line) < maxLine {
			order = append(order, fmt.Sprint(len(e.line), " ", e.dropped))
		}
	}
	test.Equal(t, strings.Join(order, ", "), "0 1, 5 0, 0 3, 10 0")
	test.Equal(t, q.size, 0)
}

func TestTheEndWaitsForTwoSecondsForAHandlerThatBlocks(t *testing.T) {
	test.Bounded(t)
	got := &recorder{gate: make(chan struct{}), called: make(chan struct{}, 1)}
	s := serve(t, got)
	for i := range 10 {
		s.write(lineOf(recordAt(fmt.Sprint("record ", i))))
	}
	<-got.called
	began := time.Now()
	test.Check(t, s.end())
	if took := time.Since(began); took < afterEnd || took > 2*afterEnd {
		t.Errorf("took %v", took)
	}
	close(got.gate)
	test.Eventually(t, "the handler is told what it missed", func() bool { return len(got.got()) == 2 })
	messages, dropped := got.messages()
	if len(messages) != 1 || dropped != 9 {
		t.Error(messages, dropped)
	}
}

// Something else that holds the child's end of the pipe holds up nobody.
func TestAPipeThatStaysOpenIsGivenUp(t *testing.T) {
	test.Bounded(t)
	r, w := newPipe(t)
	served, end := context.WithCancel(t.Context())
	s := &serving{t: t, in: w, exited: make(chan struct{})}
	var got recorder
	Serve(t.Context(), &s.group, Source{Pipe: r, Served: served, Exited: s.exited}, &got)
	close(s.exited)
	s.write(lineOf(recordAt("from a grandchild")))
	end()
	test.Check(t, s.group.Wait())
	test.Equal(t, len(got.got()), 1)
}

func TestRubbishIsDroppedAndReportedOnce(t *testing.T) {
	test.Bounded(t)
	for name, rubbish := range map[string]string{
		"text": "panic: oh\n", "number": "7\n", "null": "null\n", "empty object": "{}\n", "no message": `{"level":0}` + "\n",
		"level": `{"level":1e99,"msg":"m"}` + "\n", "time": `{"time":"now","msg":"m"}` + "\n", "kind": `{"msg":"m","attrs":[{"k":"k","t":"?","v":1}]}` + "\n",
		"int": `{"msg":"m","attrs":[{"k":"k","t":"i","v":"x"}]}` + "\n", "float": `{"msg":"m","attrs":[{"k":"k","t":"f","v":"x"}]}` + "\n",
		"uint": `{"msg":"m","attrs":[{"k":"k","t":"u","v":-1}]}` + "\n", "no value": `{"msg":"m","attrs":[{"k":"k","t":"t"}]}` + "\n",
		"long": strings.Repeat("x", 3*maxLine) + "\n", "binary": string(test.Pattern(10_000)) + "\n",
		"nested": `{"msg":"m","attrs":` + strings.Repeat(`[{"g":`, 20_000) + "\n", "twice": lineOf(recordAt("a"))[:20] + lineOf(recordAt("b")),
		"expands": `{"msg":"m","attrs":[{"k":"` + strings.Repeat("k", maxLine/2) + `","g":[{}` + strings.Repeat(",{}", 1000) + "]}]}\n",
	} {
		var got recorder
		s := serve(t, &got)
		for i := range 3 {
			s.write("\n" + rubbish + lineOf(recordAt(fmt.Sprint("record ", i))))
		}
		s.write(lineOf(recordAt("cut"))[:30]) // as of a child that is killed: nobody is told of it
		test.Check(t, s.end())
		var all []string
		for _, r := range got.got() {
			all = append(all, r.Message)
		}
		if len(all) != 4 || !strings.Contains(all[0], "such lines are dropped") || all[3] != "record 2" {
			t.Errorf("%s: %q", name, all)
		}
	}
}

func TestAnEmptyAttributeIsNoRubbish(t *testing.T) {
	r, err := parse([]byte(`{"msg":"m","attrs":[{},{"k":"n","v":null},{"k":"g","g":[]}],"later":1}`))
	test.Check(t, err)
	test.Equal(t, r.NumAttrs(), 2) // an empty group is left out by slog
}

// failing is a handler that goes wrong on some records.
type failing struct{ *recorder }

func (f failing) Handle(ctx context.Context, r slog.Record) error {
	switch r.Message {
	case "panic":
		panic("no ink")
	case "goexit":
		runtime.Goexit()
	case "error":
		return os.ErrClosed
	}
	return f.recorder.Handle(ctx, r)
}

func (f failing) WithAttrs([]slog.Attr) slog.Handler { return f }

func TestAHandlerThatPanicsLosesARecord(t *testing.T) {
	test.Bounded(t)
	for how, want := range map[string]struct {
		text string
		got  int
	}{"panic": {"panicked: no ink", 3}, "goexit": {"runtime.Goexit", 2}, "error": {"", 3}} {
		var got recorder
		s := serve(t, failing{&got})
		for _, m := range []string{"first", "second", how, "third"} {
			s.write(lineOf(recordAt(m)))
		}
		err := s.end()
		if (err != nil) != (want.text != "") || err != nil && !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v", how, err)
		}
		test.Equal(t, len(got.got()), want.got)
	}
}

func TestEnabledIsAskedForEachRecord(t *testing.T) {
	var level slog.LevelVar
	level.Set(slog.LevelWarn)
	var out strings.Builder
	s := serve(t, slog.NewTextHandler(&out, &slog.HandlerOptions{Level: &level}), slog.String("child", "c"), slog.Int("pid", 7))
	l := slog.New(NewHandler(s.in, slog.LevelInfo))
	l.Info("too low")
	l.Warn("kept")
	test.Check(t, s.end())
	if text := out.String(); strings.Contains(text, "too low") || !strings.Contains(text, "msg=kept child=c pid=7 source=") {
		t.Error(text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(lineOf(recordAt("m", slog.Int("i", 1), slog.Group("g", "d", time.Second, "f", 2.5, "t", time.Now())))))
	f.Add([]byte(`{"msg":"m","source":{"function":"f","file":"g","line":-1},"attrs":[{"g":[{"g":null}]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := parse(text)
		if err != nil || len(text) > maxLine {
			return
		}
		var out strings.Builder
		test.Check(t, slog.NewTextHandler(&out, nil).Handle(t.Context(), r))
		if out.Len() > 2*6*maxExpanded {
			t.Errorf("%d bytes of %d", out.Len(), len(text))
		}
	})
}
