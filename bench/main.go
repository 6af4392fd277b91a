// Command bench compares gipc with floors and with other ways to talk to a child process. It lets them take turns, round by
// round, and writes RESULTS.md and plots.
//
//	go run .                  # all, in some minutes
//	go run . -quick           # a look, in less than two minutes
//	go run . -only 'stream-64|codec'
//
// It runs on Linux. Python, Node and Rust take part where they are installed.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/codecs"
	"github.com/go-gipc/gipc/bench/internal/foreign"
	"github.com/go-gipc/gipc/bench/internal/measure"
	"github.com/go-gipc/gipc/bench/internal/pools"
	"github.com/go-gipc/gipc/bench/internal/report"
	"github.com/go-gipc/gipc/bench/internal/rivals"
	"github.com/go-gipc/gipc/bench/internal/work"
)

type options struct {
	quick  bool
	only   *regexp.Regexp
	python string
	out    string
}

func main() {
	work.RunChild()
	gipc.Init()
	log.SetFlags(0)
	if err := run(flags()); err != nil {
		log.Fatal(err)
	}
}

func flags() options {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "few and short rounds, and nothing written unless -out is given")
	only := flag.String("only", "", "workloads whose name matches this `regexp`")
	flag.StringVar(&o.python, "python", "", "the Python `interpreter` that has gipc")
	flag.StringVar(&o.out, "out", "", "the `directory` to write to (default: this one)")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile("^(" + *only + ")"); err != nil {
		log.Fatalf("-only: %v", err)
	}
	if o.out == "" && !o.quick {
		o.out = "."
	}
	return o
}

func run(o options) error {
	rounds := measure.Options{Rounds: 11, Round: 200 * time.Millisecond, Log: log.Printf}
	if o.quick {
		rounds.Rounds, rounds.Round = 3, 10*time.Millisecond
	}
	machine := report.ThisMachine(commit())
	if !o.quick {
		awaitQuiet(machine)
	}
	r := &report.Report{
		Command: command(), Date: time.Now(), Machine: machine, Load: report.Load(),
		Rounds: rounds.Rounds, Round: rounds.Round,
	}
	all := rivalsOf(o)
	for _, w := range workloads() {
		if !o.only.MatchString(w.ID()) {
			continue
		}
		log.Printf("%s …", w.ID())
		r.Results = append(r.Results, measure.Run(w, all, rounds))
	}
	if o.out == "" {
		return r.Markdown(os.Stdout)
	}
	r.Plots = report.Plots(r.Results, r.Machine.Busy(r.Load))
	return save(r, o.out)
}

// awaitQuiet waits until the machine has nothing else to do, for three minutes at most. The compiler of this program has just loaded it.
func awaitQuiet(m report.Machine) {
	if m.Busy(report.Load()) {
		log.Print("waiting until the machine has nothing else to do …")
	}
	for last := time.Now().Add(3 * time.Minute); m.Busy(report.Load()) && time.Now().Before(last); time.Sleep(time.Second) {
	}
}

func rivalsOf(o options) []work.Rival {
	all := append(rivals.All(), foreign.All(o.python)...)
	return append(append(all, pools.All()...), codecs.All()...)
}

func save(r *report.Report, dir string) error {
	for _, p := range r.Plots {
		if err := p.Save(dir); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if err := r.Markdown(&b); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "RESULTS.md"), b.Bytes(), 0o644)
}

func workloads() (all []work.Workload) {
	const floor = "floor A"
	sizes := []int{64, 1 << 10, 16 << 10, 64 << 10, 1 << 20}
	for _, size := range sizes {
		all = append(all, work.Workload{Kind: work.Stream, Size: size, Base: floor})
	}
	for _, size := range sizes {
		all = append(all, work.Workload{Kind: work.Echo, Size: size, Base: floor})
	}
	return append(all,
		work.Workload{Kind: work.Stream, Size: 64, Senders: 8, Base: floor},
		work.Workload{Kind: work.Struct, Base: floor},
		work.Workload{Kind: work.Spawn, Base: "os/exec"},
		work.Workload{Kind: work.Task, InFlight: 1, Base: pools.ByHand},
		work.Workload{Kind: work.Task, InFlight: 8, Base: pools.ByHand},
		work.Workload{Kind: work.Struct, Codecs: true, Base: codecs.Default},
		work.Workload{Kind: work.Encode, Codecs: true, Base: codecs.Default},
		work.Workload{Kind: work.Decode, Codecs: true, Base: codecs.Default},
	)
}

// command is what was typed, without paths of one machine.
func command() string {
	words := []string{"go run ."}
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "out":
		case "python":
			words = append(words, "-python "+filepath.Base(f.Value.String()))
		case "quick":
			words = append(words, "-quick")
		default:
			words = append(words, fmt.Sprintf("-%s '%s'", f.Name, f.Value))
		}
	})
	if e := os.Getenv("GOEXPERIMENT"); e != "" {
		words = append([]string{"GOEXPERIMENT=" + e}, words...)
	}
	return strings.Join(words, " ")
}

// commit is that of the tree, with a + if it has been changed. "" if git doesn't know.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty=+", "--exclude=*").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}
