package gipc_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/go-gipc/gipc"
)

// The examples in this file are those of docs/guide.md.

type Reading struct {
	Sensor  string
	Celsius float64
}

func Example_channel() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[Reading](nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Put(ctx, Reading{Sensor: "roof", Celsius: 21.5}); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	for reading, err := range r.All(ctx) { // until the Writer is closed
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(reading.Sensor, reading.Celsius)
	}
	// Output: roof 21.5
}

var resize = gipc.Register("guide resize", func(ctx context.Context, pictures int) error {
	for i := range pictures {
		slog.Info("resized", slog.Group("picture", "number", i))
	}
	return nil
})

func Example_logger() {
	ctx := context.Background()
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: stable}))
	child, err := gipc.Spawn(ctx, resize, 3, &gipc.SpawnOptions{Name: "resizer", Logger: logger})
	if err != nil {
		log.Fatal(err)
	}
	if err := child.Wait(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// level=INFO msg=resized child=resizer picture.number=0
	// level=INFO msg=resized child=resizer picture.number=1
	// level=INFO msg=resized child=resizer picture.number=2
}

// stable drops what differs from run to run.
func stable(_ []string, a slog.Attr) slog.Attr {
	if slices.Contains([]string{slog.TimeKey, slog.SourceKey, "pid"}, a.Key) {
		return slog.Attr{}
	}
	return a
}

func Example_deadline() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[string](nil)
	if err != nil {
		log.Fatal(err)
	}
	soon, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	_, err = r.Get(soon)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	if err := w.Put(ctx, "late"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Get(ctx)) // nothing was lost
	// Output:
	// true
	// late <nil>
}

// average reads numbers until they end, and reports each second how far it is.
func average(ctx context.Context, r *gipc.Reader[float64]) (float64, error) {
	numbers, errs := r.Chan(ctx)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	sum, n := 0.0, 0
	for {
		select {
		case number, ok := <-numbers:
			if !ok {
				return sum / float64(n), <-errs // nil at the end of the stream
			}
			sum, n = sum+number, n+1
		case <-ticker.C:
			log.Print(n, " numbers so far")
		}
	}
}

func Example_select() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[float64](nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, number := range []float64{1, 2, 6} {
		if err := w.Put(ctx, number); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(average(ctx, r))
	// Output: 3 <nil>
}

func Example_buffer() {
	ctx := context.Background()
	r, w, err := gipc.Pipe(&gipc.Options[int]{Buffer: 64 << 10})
	if err != nil {
		log.Fatal(err)
	}
	for i := range 1000 {
		if err := w.Put(ctx, i); err != nil { // queued: several messages share one write
			log.Fatal(err)
		}
	}
	if err := w.Flush(ctx); err != nil { // now all of them are in the pipe
		log.Fatal(err)
	}
	stats := w.Stats()
	fmt.Println(stats.Sent, "messages, fewer writes:", stats.Writes < stats.Sent)
	fmt.Println(r.Get(ctx))
	// Output:
	// 1000 messages, fewer writes: true
	// 0 <nil>
}

var square = gipc.Register("guide square", func(ctx context.Context, numbers *gipc.Duplex[int, int]) error {
	for n, err := range numbers.All(ctx) {
		if err != nil {
			return err
		}
		if err := numbers.Put(ctx, n*n); err != nil {
			return err
		}
	}
	return nil
})

// inChild has one child square the numbers that it gets hold of.
func inChild(ctx context.Context, numbers <-chan int, squares chan<- int) error {
	mine, theirs, err := gipc.NewDuplex[int, int](nil, nil)
	if err != nil {
		return err
	}
	child, err := gipc.Spawn(ctx, square, theirs, nil)
	if err != nil {
		return errors.Join(err, mine.CloseNow(), theirs.CloseNow()) // nothing has moved
	}
	for n := range numbers {
		result, err := ask(ctx, mine, n)
		if err != nil {
			_ = mine.Close()                    // ends the child's loop
			return cmp.Or(child.Wait(ctx), err) // why the child ended, if it did
		}
		squares <- result
	}
	return errors.Join(mine.Close(), child.Wait(ctx))
}

// ask sends a request and waits for its answer.
func ask(ctx context.Context, child *gipc.Duplex[int, int], n int) (int, error) {
	if err := child.Put(ctx, n); err != nil {
		return 0, err
	}
	return child.Get(ctx)
}

func Example_fanOut() {
	numbers, squares := make(chan int, 5), make(chan int, 5)
	for i := range 5 {
		numbers <- i
	}
	close(numbers)

	children, ctx := errgroup.WithContext(context.Background())
	for range 2 {
		children.Go(func() error { return inChild(ctx, numbers, squares) })
	}
	if err := children.Wait(); err != nil {
		log.Fatal(err)
	}
	close(squares)
	var all []int
	for s := range squares {
		all = append(all, s)
	}
	slices.Sort(all)
	fmt.Println(all)
	// Output: [0 1 4 9 16]
}

type SumArgs struct {
	Numbers *gipc.Reader[int]
	Sum     *gipc.Writer[int]
}

var (
	produce = gipc.Register("guide produce", func(ctx context.Context, out *gipc.Writer[int]) error {
		for i := range 10 {
			if err := out.Put(ctx, i); err != nil {
				return err
			}
		}
		return nil // the end of the process closes out
	})
	sum = gipc.Register("guide sum", func(ctx context.Context, args SumArgs) error {
		total := 0
		for n, err := range args.Numbers.All(ctx) {
			if err != nil {
				return err
			}
			total += n
		}
		return args.Sum.Put(ctx, total)
	})
)

func Example_siblings() {
	ctx := context.Background()
	numbers, producer, err := gipc.Pipe[int](nil)
	if err != nil {
		log.Fatal(err)
	}
	result, summer, err := gipc.Pipe[int](nil)
	if err != nil {
		log.Fatal(err)
	}
	first, err := gipc.Spawn(ctx, produce, producer, nil)
	if err != nil {
		log.Fatal(err)
	}
	second, err := gipc.Spawn(ctx, sum, SumArgs{Numbers: numbers, Sum: summer}, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Get(ctx)) // the numbers went from child to child
	fmt.Println(first.Wait(ctx), second.Wait(ctx))
	// Output:
	// 45 <nil>
	// <nil> <nil>
}

var countdown *gipc.Entrypoint[int]

// An entrypoint that spawns itself is registered in an init function. Go refuses a package-level variable whose value
// refers to the variable.
func init() {
	countdown = gipc.Register("guide countdown", func(ctx context.Context, n int) error {
		fmt.Println(n)
		if n == 0 {
			return nil
		}
		child, err := gipc.Spawn(ctx, countdown, n-1, nil)
		if err != nil {
			return err
		}
		return child.Wait(ctx)
	})
}

func Example_generations() {
	var out strings.Builder
	child, err := gipc.Spawn(context.Background(), countdown, 2, &gipc.SpawnOptions{Stdout: &out})
	if err != nil {
		log.Fatal(err)
	}
	if err := child.Wait(context.Background()); err != nil {
		log.Fatal(err)
	}
	fmt.Print(out.String())
	// Output:
	// 2
	// 1
	// 0
}

func Example_stopWithGrace() {
	ctx, cancel := context.WithCancel(context.Background())
	child, err := gipc.Spawn(context.WithoutCancel(ctx), untilAsked, struct{}{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	cancel()
	<-ctx.Done()
	// A Stop whose ctx has ended kills at once. This one leaves the child its grace.
	fmt.Println(child.Stop(context.WithoutCancel(ctx)))
	// Output: <nil>
}

type UpperArgs struct {
	In  *os.File
	Out *gipc.Writer[string]
}

var upper = gipc.Register("guide upper", func(ctx context.Context, args UpperArgs) error {
	text, err := io.ReadAll(args.In)
	if err != nil {
		return err
	}
	return args.Out.Put(ctx, strings.ToUpper(string(text)))
})

func Example_file() {
	ctx := context.Background()
	in, from, err := os.Pipe() // any open file
	if err != nil {
		log.Fatal(err)
	}
	r, w, err := gipc.Pipe[string](nil)
	if err != nil {
		log.Fatal(err)
	}
	child, err := gipc.Spawn(ctx, upper, UpperArgs{In: in, Out: w}, nil) // in and w are closed here now
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(from, "a file moves, too")
	if err := from.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Get(ctx))
	fmt.Println(child.Wait(ctx))
	// Output:
	// A FILE MOVES, TOO <nil>
	// <nil>
}
