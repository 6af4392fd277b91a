package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/go-gipc/gipc/bench/internal/measure"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// Report is all of a run.
type Report struct {
	Command string
	Date    time.Time
	Machine Machine
	Load    float64 // before the run
	Rounds  int
	Round   time.Duration
	Results []measure.Result
	Plots   []Plot
}

// Markdown writes the report.
func (r *Report) Markdown(w io.Writer) error {
	b := new(strings.Builder)
	r.head(b)
	for _, p := range r.Plots {
		fmt.Fprintf(b, "![%s](%s)\n\n", p.Title, p.File)
	}
	for _, result := range r.Results {
		table(b, result)
	}
	r.rivals(b)
	_, err := io.WriteString(w, strings.TrimRight(b.String(), "\n")+"\n")
	return err
}

func (r *Report) head(b *strings.Builder) {
	fmt.Fprintf(b, `# Results

Written by %s in bench/, on %s. Don't edit: run it again.

%s.

`, "`"+r.Command+"`", r.Date.UTC().Format("2006-01-02"), r.Machine)
	if r.Machine.Busy(r.Load) {
		fmt.Fprintf(b, "**The machine was busy when the run began: its load was %.1f on %d CPUs. Rely on no figure here.**\n\n",
			r.Load, r.Machine.CPUs)
	}
	fmt.Fprintf(b, `The rivals took turns: %d rounds of about %v each. A time is the median of the rounds. The factor says how many times as fast as
the base a rival was: above 1 faster, below 1 slower. It is the median of the factors of the rounds, with the least and the
greatest. The bold row is the base.

`, r.Rounds, r.Round)
}

func table(b *strings.Builder, r measure.Result) {
	w := r.Workload
	fmt.Fprintf(b, "## %s\n\n", w.Title())
	head := []string{"", "time a " + w.Unit(), w.Units() + "/s"}
	switch {
	case w.Kind == work.Echo:
		head = []string{"", "p50", "p99"}
	case w.Size > 0:
		head = append(head, "MB/s")
	}
	head = append(head, "factor", "least", "greatest")
	line(b, head...)
	line(b, slices.Repeat([]string{"---"}, len(head))...)
	for _, row := range r.Rows {
		if row.Missing == "" {
			line(b, cells(w, row)...)
		}
	}
	b.WriteString("\n")
	for _, row := range r.Rows {
		if row.Missing != "" {
			fmt.Fprintf(b, "%s: %s\n\n", row.Name, oneLine(row.Missing))
		}
	}
}

func cells(w work.Workload, row measure.Row) []string {
	name := row.Name
	if name == w.Base {
		name = "**" + name + "**"
	}
	c := []string{name, ns(row.Time.Median), number(1e9 / row.Time.Median)}
	switch {
	case w.Kind == work.Echo:
		c = []string{name, ns(row.P50.Median), ns(row.P99.Median)}
	case w.Size > 0:
		c = append(c, number(float64(w.Size)*1e3/row.Time.Median))
	}
	if row.Ratio.Median == 0 {
		return append(c, "", "", "")
	}
	return append(c, factor(row.Ratio.Median), factor(row.Ratio.Least), factor(row.Ratio.Most))
}

// rivals is the table of who took part, each once.
func (r *Report) rivals(b *strings.Builder) {
	b.WriteString("## Who took part\n\n")
	line(b, "", "version", "how")
	line(b, "---", "---", "---")
	seen := map[string]bool{}
	for _, result := range r.Results {
		for _, row := range result.Rows {
			if !seen[row.Name+row.About] && row.Missing == "" {
				line(b, row.Name, row.Version, row.About)
			}
			seen[row.Name+row.About] = true
		}
	}
}

func line(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// ns is a time of so many nanoseconds with three digits.
func ns(v float64) string {
	switch {
	case v >= 1e9:
		return number(v/1e9) + " s"
	case v >= 1e6:
		return number(v/1e6) + " ms"
	case v >= 1e3:
		return number(v/1e3) + " µs"
	}
	return number(v) + " ns"
}

// number has three digits that count.
func number(v float64) string {
	switch {
	case v >= 1e9:
		return number(v/1e9) + " G"
	case v >= 1e6:
		return number(v/1e6) + " M"
	case v >= 1e3:
		return number(v/1e3) + " k"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func factor(v float64) string {
	if v < .1 {
		return fmt.Sprintf("%.3f", v)
	}
	return number(v)
}
