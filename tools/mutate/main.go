// Command mutate asks whether the tests would notice a fault. It changes the meaning of the code in one place at a time, and
// runs the tests that touch it. A change that fails no test is printed, with its place.
//
// All changes of a package are compiled into its tests at once, each behind a choice that is off. So what takes long, compiling,
// is done once. The tree isn't touched: changed files are given to the compiler by -overlay. Results are kept in a file, so that a run
// which was broken off goes on where it was, and only what is not yet known is tried. It runs on Linux.
//
// From the root of the repository:
//
//	go run -C tools ./mutate -seed 1 -n 300
//	go run -C tools ./mutate -seed 1 -n 300 -again survived    # behind a new test
//	go run -C tools ./mutate -list -only 'handover.go'         # what there is to change
package main

import (
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"time"
)

var (
	seed    = flag.Uint64("seed", 1, "decides which changes are tried")
	count   = flag.Int("n", 300, "how many changes are tried; 0: all")
	workers = flag.Int("workers", 2, "changes that are tried at the same time")
	only    = flag.String("only", "", "regular expression: try only changes whose place matches, such as internal/wire/batch.go:50")
	again   = flag.String("again", "", "try those again whose result was this: survived, not noticed near, or the time limit")
	near    = flag.Bool("near", false, "run only the tests of the package that is changed: quick, to find what they lack")
	tests   = flag.String("run", "", "regular expression: run only tests whose names match, where it is known which they are")
	list    = flag.Bool("list", false, "print the changes, and try none")
	budget  = flag.Duration("time", 0, "begin no further change after this time; 0: no limit")
	keep    = flag.String("results", filepath.Join(os.TempDir(), "gipc-mutate.jsonl"), "file of results")
)

// maxMemory bounds a test whose changed code allocates without end, in bytes.
const maxMemory = 3 << 30

func main() {
	log.SetFlags(0)
	flag.Parse()
	if err := os.Chdir(".."); err != nil { // from tools to the root
		log.Fatal(err)
	}
	if err := run(); err != nil {
		log.Fatal("mutate: ", err)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := newRunner(dir)
	mutants, err := choose(r.prepare)
	if err != nil {
		return err
	}
	if *list {
		for _, m := range mutants {
			fmt.Println(m)
		}
		return nil
	}
	kept, err := readResults(*keep)
	if err != nil {
		return err
	}
	limit := syscall.Rlimit{Cur: maxMemory, Max: maxMemory}
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &limit); err != nil {
		return err
	}
	tried, err := try(mutants, kept, r)
	report(os.Stdout, tried)
	return err
}

// choose returns the changes in the order in which the seed has them tried.
func choose(compiling func(*subject, []*mutant) ([]*mutant, error)) ([]*mutant, error) {
	place, err := regexp.Compile(*only)
	if err != nil {
		return nil, err
	}
	var chosen []*mutant
	for _, s := range subjects {
		found, err := s.findMutants()
		if err != nil {
			return nil, err
		}
		matches := slices.ContainsFunc(found, func(m *mutant) bool { return place.MatchString(m.String()) })
		if !matches {
			continue
		}
		if found, err = compiling(s, found); err != nil {
			return nil, err
		}
		for _, m := range found {
			if place.MatchString(m.String()) {
				chosen = append(chosen, m)
			}
		}
	}
	r := rand.New(rand.NewPCG(*seed, 0))
	r.Shuffle(len(chosen), func(i, k int) { chosen[i], chosen[k] = chosen[k], chosen[i] })
	return chosen, nil
}

// try tries changes in order until it has enough.
func try(mutants []*mutant, kept map[string]result, r *runner) ([]*mutant, error) {
	if *count > 0 {
		mutants = mutants[:min(*count, len(mutants))]
	}
	out, err := os.OpenFile(*keep, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, err
	}
	defer out.Close()

	var (
		mu     sync.Mutex // guards what follows
		next   int
		tried  []*mutant
		failed error
		wg     sync.WaitGroup
		begun  = time.Now()
	)
	// take returns the next change, or nil if there are enough.
	take := func() *mutant {
		mu.Lock()
		defer mu.Unlock()
		late := *budget > 0 && time.Since(begun) > *budget
		if next == len(mutants) || failed != nil || late {
			return nil
		}
		m := mutants[next]
		next++
		return m
	}
	done := func(m *mutant, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			failed = err
			return
		}
		tried = append(tried, m)
	}
	for range *workers {
		wg.Go(func() {
			for m := take(); m != nil; m = take() {
				known, ok := kept[m.key]
				if ok && known.Verdict != *again && (*again == "" || known.By != *again) {
					m.result = known
					done(m, nil)
					continue
				}
				err := r.try(m)
				if err != nil {
					log.Print(err)
				} else {
					mu.Lock()
					err = m.result.write(out)
					mu.Unlock()
				}
				done(m, err)
				fmt.Fprintf(os.Stderr, "%v: %s %s (%.0f s)\n", m, m.result.Verdict, m.result.By, m.result.Seconds)
			}
		})
	}
	wg.Wait()
	return tried, failed
}
