// Quickstart counts the lines, words and bytes of all files in the trees that it is given, by default the current
// directory, and takes their SHA-256 sums. A few worker processes do it: the files stream to them, and the counts come
// back, over typed channels. With -crash one worker panics over one file; all others are counted nevertheless.
package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
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
	"golang.org/x/sync/errgroup"
)

// File is what a worker gets, and Count what it answers.
type (
	File struct {
		Path  string
		Data  []byte
		Crash bool
	}
	Count struct {
		Path                string
		Lines, Words, Bytes int
		SHA256              [sha256.Size]byte
	}
)

// worker runs in a child process. Its side of the conversation has moved there: it receives File and sends Count.
var worker = gipc.Register("worker", func(ctx context.Context, parent *gipc.Duplex[File, Count]) error {
	for file, err := range parent.All(ctx) { // until the parent closes its side
		if err != nil {
			return err
		}
		if file.Crash {
			panic("told to crash")
		}
		lines, words := bytes.Count(file.Data, []byte("\n")), len(bytes.Fields(file.Data))
		count := Count{file.Path, lines, words, len(file.Data), sha256.Sum256(file.Data)}
		if err := parent.Put(ctx, count); err != nil {
			return err
		}
	}
	return nil
})

// serve starts a worker and has it count files until there are none left. If it fails, a fresh one gets the rest.
func serve(ctx context.Context, files <-chan File, counts chan<- Count) error {
	mine, theirs, err := gipc.NewDuplex[Count, File](nil, nil)
	if err != nil {
		return err
	}
	// A panic is also printed to the child's stderr. It is dropped there, because the child's ExitError has it.
	child, err := gipc.Spawn(ctx, worker, theirs, &gipc.SpawnOptions{Stderr: io.Discard})
	if err != nil {
		return err
	}
	for file := range files {
		count, err := ask(ctx, mine, file)
		if err != nil {
			_ = mine.Close()
			err = cmp.Or(child.Wait(ctx), err) // why the worker ended, not only that it did
			log.Printf("not counted: %q: %v", file.Path, err)
			if exit := new(gipc.ExitError); errors.As(err, &exit) {
				log.Printf("%s", exit.Stack)
			}
			return serve(ctx, files, counts)
		}
		counts <- count
	}
	return errors.Join(mine.Close(), child.Wait(ctx))
}

// ask sends a file to a worker and waits for its count.
func ask(ctx context.Context, worker *gipc.Duplex[Count, File], file File) (count Count, err error) {
	if info, err := os.Stat(file.Path); err == nil && info.Size() >= 1<<30 {
		return count, fmt.Errorf("%d bytes are too many for a message", info.Size())
	}
	if file.Data, err = os.ReadFile(file.Path); err != nil {
		return count, err
	}
	if err := worker.Put(ctx, file); err != nil {
		return count, err
	}
	return worker.Get(ctx)
}

func main() {
	gipc.Init() // a child process runs the worker in here and never comes back
	crash := flag.Bool("crash", false, "make a worker panic over one file")
	flag.Parse()
	log.SetFlags(0)
	var paths []string
	for _, root := range append(flag.Args(), ".")[:max(1, flag.NArg())] {
		root, err := filepath.EvalSymlinks(root) // a link below the root is not followed
		if err != nil {
			log.Fatal(err)
		}
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				log.Print("not listed: ", err)
			case d.IsDir() && d.Name() == ".git":
				return fs.SkipDir
			case d.Type().IsRegular():
				paths = append(paths, path)
			}
			return nil
		})
	}
	paths = slices.Compact(slices.Sorted(slices.Values(paths))) // roots may overlap
	files, counts := make(chan File, len(paths)), make(chan Count)
	for i, path := range paths {
		files <- File{Path: path, Crash: *crash && i == len(paths)/2}
	}
	close(files)
	workers, ctx := errgroup.WithContext(context.Background())
	for range min(4, len(paths)) {
		workers.Go(func() error { return serve(ctx, files, counts) })
	}
	go func() { _ = workers.Wait(); close(counts) }()

	table, done, total := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0), 0, Count{}
	fmt.Fprintln(table, "LINES\tWORDS\tBYTES\tSHA-256\tFILE")
	for c := range counts {
		fmt.Fprintf(table, "%d\t%d\t%d\t%x\t%q\n", c.Lines, c.Words, c.Bytes, c.SHA256, c.Path)
		total.Lines, total.Words, total.Bytes = total.Lines+c.Lines, total.Words+c.Words, total.Bytes+c.Bytes
		done++
		if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 { // a terminal
			fmt.Fprintf(os.Stderr, "%d of %d files\r", done, len(paths))
		}
	}
	if err := workers.Wait(); err != nil {
		log.Fatal(err)
	}
	fmt.Fprintf(table, "%d\t%d\t%d\ttotal of %d files\t\n", total.Lines, total.Words, total.Bytes, done)
	table.Flush()
}
