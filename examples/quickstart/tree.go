package main

// What has nothing to do with gipc: finding the files, and printing the results.

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/go-gipc/gipc"
)

// result is what became of a file.
type result struct {
	file string
	Count
	err error
}

// list finds the regular files under the roots. What lies in a .git directory doesn't count, unless that is a root.
func list(roots []string) (files []string, err error) {
	if len(roots) == 0 {
		roots = []string{"."}
	}
	for _, root := range roots {
		real, err := filepath.EvalSymlinks(root) // a link below the root is not followed
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(real, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				fmt.Fprintln(os.Stderr, "quickstart: not listed:", err)
			case d.IsDir() && d.Name() == ".git" && path != real:
				return fs.SkipDir
			case d.Type().IsRegular():
				files = append(files, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// total sums up the files of one kind.
type total struct{ files, lines, words, bytes int }

func (t *total) add(o total) {
	t.files += o.files
	t.lines += o.lines
	t.words += o.words
	t.bytes += o.bytes
}

// maxKinds is how many kinds of files have a row of their own in the table: the largest.
const maxKinds = 20

// report shows progress on stderr, if that is a terminal, and prints the table when all results are there.
func report(results <-chan result, files int, verbose bool) {
	info, err := os.Stderr.Stat()
	onTerminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	var all total
	var good []result
	byExt, done := map[string]*total{}, 0
	for r := range results {
		done++
		if onTerminal {
			fmt.Fprintf(os.Stderr, "\r%d of %d files ", done, files)
		}
		if r.err != nil {
			explain(r, onTerminal)
			continue
		}
		ext := cmp.Or(filepath.Ext(r.file), "(none)")
		if byExt[ext] == nil {
			byExt[ext] = &total{}
		}
		one := total{1, r.Lines, r.Words, r.Bytes}
		byExt[ext].add(one)
		all.add(one)
		good = append(good, r)
	}
	if onTerminal {
		fmt.Fprintln(os.Stderr)
	}
	if done < files {
		return // cut short: a table would be wrong
	}

	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	if verbose {
		slices.SortFunc(good, func(a, b result) int { return cmp.Compare(a.file, b.file) })
		fmt.Fprintln(w, "lines\twords\tbytes\tSHA-256\t  file")
		for _, r := range good {
			fmt.Fprintf(w, "%d\t%d\t%d\t%x\t  %s\n", r.Lines, r.Words, r.Bytes, r.SHA256, printable(r.file))
		}
		fmt.Fprintln(w)
	}
	print := func(name string, t *total) {
		fmt.Fprintf(w, "%d\t%d\t%d\t%d\t  %s\n", t.files, t.lines, t.words, t.bytes, name)
	}
	fmt.Fprintln(w, "files\tlines\twords\tbytes\t  kind")
	var others total
	kinds := slices.SortedFunc(maps.Keys(byExt), func(a, b string) int {
		return cmp.Or(cmp.Compare(byExt[b].bytes, byExt[a].bytes), cmp.Compare(a, b))
	})
	for i, ext := range kinds {
		if i < maxKinds {
			print(printable(ext), byExt[ext])
		} else {
			others.add(*byExt[ext])
		}
	}
	if others.files > 0 {
		print("(others)", &others)
	}
	print("total", &all)
}

// explain prints why a file is not counted.
func explain(r result, onTerminal bool) {
	if onTerminal {
		fmt.Fprintln(os.Stderr)
	}
	fmt.Fprintf(os.Stderr, "not counted: %s: %v\n", printable(r.file), r.err)
	var exit *gipc.ExitError
	if errors.As(r.err, &exit) && exit.Panic != "" {
		fmt.Fprintf(os.Stderr, "panic: %s\n\n%s\n", exit.Panic, exit.Stack)
	}
}

// printable quotes a name that a terminal could take for something else.
func printable(name string) string {
	if quoted := strconv.Quote(name); quoted[1:len(quoted)-1] != name {
		return quoted
	}
	return name
}

func exit(err error) {
	fmt.Fprintln(os.Stderr, "quickstart:", err)
	os.Exit(1)
}
