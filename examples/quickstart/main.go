// Quickstart counts the lines, words and bytes of all files in the trees that it is given, by default the current
// directory, and takes their SHA-256 sums. A pool of worker processes does it. With -crash one worker panics over one file. All
// others are counted nevertheless.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"text/tabwriter"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

// File is what a worker gets, and Count what it returns.
type (
	File struct {
		Path  string
		Crash bool
	}
	Count struct {
		Lines, Words, Bytes int
		SHA256              [sha256.Size]byte
	}
)

var count = pool.Register("count", func(ctx context.Context, file File) (Count, error) {
	if file.Crash {
		panic("told to crash")
	}
	if info, err := os.Stat(file.Path); err == nil && info.Size() > 1<<30 {
		return Count{}, errors.New("it has more than 1 GiB")
	}
	data, err := os.ReadFile(file.Path)
	return Count{bytes.Count(data, []byte("\n")), len(bytes.Fields(data)), len(data), sha256.Sum256(data)}, err
})

func main() {
	gipc.Init() // a worker process runs its tasks in here and never comes back
	crash := flag.Bool("crash", false, "make a worker panic over one file")
	flag.Parse()
	log.SetFlags(0)
	paths := list(append(flag.Args(), ".")[:max(1, flag.NArg())])

	// A panic is also printed to the worker's stderr. It is dropped there, because the error has it.
	workers, err := pool.New(count, &pool.Options{Max: 4, Spawn: &gipc.SpawnOptions{Stderr: io.Discard}})
	if err != nil {
		log.Fatal(err)
	}
	files := func(yield func(File) bool) {
		for i, path := range paths {
			if !yield(File{path, *crash && i == len(paths)/2}) {
				return
			}
		}
	}
	info, err := os.Stderr.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0
	table, done, total := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0), 0, Count{}
	fmt.Fprintln(table, "LINES\tWORDS\tBYTES\tSHA-256\tFILE")
	at := 0 // results come in the order of the paths
	for c, err := range workers.All(context.Background(), files) {
		path := paths[at]
		at++
		if err != nil {
			log.Printf("not counted: %q: %v", path, err)
			if exit := new(gipc.ExitError); errors.As(err, &exit) {
				log.Printf("%s", exit.Stack)
			}
			continue
		}
		fmt.Fprintf(table, "%d\t%d\t%d\t%x\t%q\n", c.Lines, c.Words, c.Bytes, c.SHA256, path)
		total.Lines, total.Words, total.Bytes, done = total.Lines+c.Lines, total.Words+c.Words, total.Bytes+c.Bytes, done+1
		if terminal {
			fmt.Fprintf(os.Stderr, "%d of %d files\r", done, len(paths))
		}
	}
	fmt.Fprintf(table, "%d\t%d\t%d\ttotal of %d files\t\n", total.Lines, total.Words, total.Bytes, done)
	if err := errors.Join(table.Flush(), workers.Close()); err != nil {
		log.Fatal(err)
	}
}
