package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	noticed  = "noticed"
	survived = "survived"
	notNear  = "not noticed near" // the package's own tests don't, and others were not run
)

// timeLimit stands in the place of a test that has noticed a change, where the tests did not end.
const timeLimit = "the time limit"

// result is a line of the file of results.
type result struct {
	Key     string
	Verdict string
	By      string  `json:",omitempty"` // the test that fails
	Seconds float64 // that it took
}

func (r result) write(w io.Writer) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// readResults reads what earlier runs have found out. Of several results for one change the last one counts.
func readResults(path string) (map[string]result, error) {
	kept := map[string]result{}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		kept[r.Key] = r
	}
	return kept, lines.Err()
}

// report prints the changes that nothing noticed, and the share of the others.
func report(w io.Writer, tried []*mutant) {
	slices.SortFunc(tried, func(a, b *mutant) int {
		return strings.Compare(fmt.Sprintf("%s %6d", a.path, a.line), fmt.Sprintf("%s %6d", b.path, b.line))
	})
	all, well := map[string]int{}, map[string]int{}
	for _, m := range tried {
		names := []string{filepath.Dir(m.path), "all"}
		for _, name := range names {
			all[name]++
			if m.result.Verdict == noticed {
				well[name]++
			}
		}
		if m.result.Verdict != noticed {
			fmt.Fprintf(w, "%v\n%s", m, m.diff())
		}
	}
	for _, name := range sorted(all) {
		fmt.Fprintf(w, "%-15s noticed %d of %d, %.1f %%\n", name, well[name], all[name], 100*float64(well[name])/float64(all[name]))
	}
}

func sorted(m map[string]int) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
