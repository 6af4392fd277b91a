package report

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/bench/internal/measure"
	"github.com/go-gipc/gipc/bench/internal/work"
)

func spread(v float64) measure.Spread { return measure.Spread{Median: v, Least: v / 2, Most: v * 2} }

func sample() []measure.Result {
	row := func(name string, t float64) measure.Row {
		return measure.Row{Name: name, About: "a " + name, Version: "v1", Time: spread(t), Ratio: spread(1000 / t)}
	}
	trip := func(name string, p50 float64) measure.Row {
		r := row(name, p50)
		r.P50, r.P99 = r.Time, spread(3*p50)
		return r
	}
	return []measure.Result{
		{Workload: work.Workload{Kind: work.Stream, Size: 64, Base: "floor"}, Rows: []measure.Row{row("floor", 1000), row("gipc", 2000)}},
		{Workload: work.Workload{Kind: work.Stream, Size: 1024, Base: "floor"}, Rows: []measure.Row{row("floor", 1500), row("gipc", 1250),
			{Name: "crate", Missing: "cargo is not installed\nTo install it: apt"}}},
		{Workload: work.Workload{Kind: work.Echo, Size: 64, Base: "floor"}, Rows: []measure.Row{trip("gipc", 12_345)}},
	}
}

func TestMarkdown(t *testing.T) {
	r := Report{Command: "go run .", Date: time.Unix(0, 0), Machine: Machine{CPU: "a CPU", CPUs: 2, Kernel: "Linux", Go: "go1"},
		Load: 1, Rounds: 3, Round: time.Second, Results: sample(), Plots: Plots(sample(), false)}
	var b strings.Builder
	if err := r.Markdown(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"Written by `go run .` in bench/, on 1970-01-01.",
		"a CPU, 2 CPUs, Linux, go1.",
		"The machine was busy when the run began: its load was 1.0 on 2 CPUs",
		"![Throughput to a child](throughput.svg)",
		"## Messages of 64 B to a child",
		"|  | time a message | messages/s | MB/s | factor | least | greatest |\n| --- | --- | --- | --- | --- | --- | --- |\n",
		"| **floor** | 1.00 µs | 1.00 M | 64.0 | 1.00 | 0.50 | 2.00 |\n| gipc | 2.00 µs | 500 k | 32.0 | 0.50 | 0.25 | 1.00 |\n",
		"crate: cargo is not installed To install it: apt\n",
		"| gipc | 12.3 µs | 37.0 µs |",
		"| gipc | v1 | a gipc |\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("there is no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "latency.svg") {
		t.Error("there is a plot of one size")
	}
}

func TestBusy(t *testing.T) {
	m := Machine{CPUs: 8}
	for load, want := range map[float64]bool{-1: false, .2: false, 2: true} { // -1: not known
		if got := m.Busy(load); got != want {
			t.Errorf("load %v: got %v", load, got)
		}
	}
}

func TestNumbers(t *testing.T) {
	for v, want := range map[float64]string{1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234: "1.23 k", 2.5e6: "2.50 M", 3e9: "3.00 G"} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{12: "12.0 ns", 1500: "1.50 µs", 2e6: "2.00 ms", 3e9: "3.00 s"} {
		if got := ns(v); got != want {
			t.Errorf("ns(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestPlots(t *testing.T) {
	plots := Plots(sample(), true)
	if len(plots) != 1 {
		t.Fatalf("got %d plots", len(plots))
	}
	dir := t.TempDir()
	if err := plots[0].Save(dir); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(filepath.Join(dir, "throughput.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"on a busy machine", ">floor<", ">gipc<", ">64 B<", ">1 KiB<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("there is no %q in the plot", want)
		}
	}
	d := xml.NewDecoder(strings.NewReader(string(svg)))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
