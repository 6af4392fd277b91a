// Quickstart counts the lines, words and bytes of all files in the trees that it is given, by default the current directory. A
// pool of worker processes does it. With -crash one worker panics over one file. All others are counted nevertheless.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

type File struct { // what a worker gets
	Path  string
	Crash bool
}
type Count struct{ Lines, Words, Bytes int } // and what it returns

var count = pool.Register("count", func(ctx context.Context, file File) (Count, error) {
	if file.Crash {
		panic("told to crash")
	}
	if info, err := os.Stat(file.Path); err == nil && info.Size() > 1<<30 {
		return Count{}, errors.New("it has more than 1 GiB")
	}
	data, err := os.ReadFile(file.Path)
	return Count{bytes.Count(data, []byte("\n")), len(bytes.Fields(data)), len(data)}, err
})

func main() {
	gipc.Init() // a worker process runs its tasks in here and never comes back
	crash := flag.Bool("crash", false, "make a worker panic over one file")
	flag.Parse()
	var files []File
	for _, root := range append(flag.Args(), ".")[:max(1, flag.NArg())] {
		root, err := filepath.EvalSymlinks(root) // a link below it is not followed
		check(err)
		check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				log.Print("not listed: ", err)
			} else if d.IsDir() && d.Name() == ".git" {
				return fs.SkipDir
			} else if d.Type().IsRegular() {
				files = append(files, File{path, *crash && len(files) == 0})
			}
			return nil
		}))
	}
	// A worker's stderr is dropped: the error has its panic.
	workers, err := pool.New(count, &pool.Options{Max: 4, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
	check(err)
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	table, at, done, total := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0), 0, 0, Count{}
	fmt.Fprintln(table, "LINES\tWORDS\tBYTES\tFILE")
	for c, err := range workers.All(context.Background(), slices.Values(files)) { // in the order of files
		path := files[at].Path
		if at++; err != nil {
			log.Printf("not counted: %q: %v", path, err)
			if exit := new(gipc.ExitError); errors.As(err, &exit) {
				log.Printf("%s", exit.Stack)
			}
			continue
		}
		fmt.Fprintf(table, "%d\t%d\t%d\t%q\n", c.Lines, c.Words, c.Bytes, path)
		total, done = Count{total.Lines + c.Lines, total.Words + c.Words, total.Bytes + c.Bytes}, done+1
		if terminal {
			fmt.Fprintf(os.Stderr, "%d of %d files\r", done, len(files))
		}
	}
	fmt.Fprintf(table, "%d\t%d\t%d\ttotal of %d files\n", total.Lines, total.Words, total.Bytes, done)
	check(errors.Join(table.Flush(), workers.Close()))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
