package gipc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// The scenarios of seed.md with more than one process.

func init() {
	// Hands Talk on to a child, that to another, N times; the last one echoes.
	addDeed("hand on", func(ctx context.Context, a deedArgs) error {
		next := deedArgs{Do: "hand on", Talk: a.Talk, N: a.N - 1}
		if next.N == 0 {
			next.Do = "echo"
		}
		p, err := Spawn(ctx, entryDeed, next, nil)
		if err != nil {
			return err
		}
		if err := a.Talk.Put(ctx, ""); !errors.Is(err, ErrMoved) {
			return fmt.Errorf("after handing on: %v", err)
		}
		return p.Wait(ctx)
	})
	// Sends what comes in to a channel of its own, and out of that, while it answers on Talk.
	addDeed("talk inside", func(ctx context.Context, a deedArgs) error {
		r, w, err := Pipe(inMemory[string](nil))
		if err != nil {
			return err
		}
		inside := make(chan error, 1)
		go func() { inside <- errors.Join(forwardAll(ctx, a.In, w), w.Close()) }()
		outside := make(chan error, 1)
		go func() { outside <- echoEntry(ctx, a.Talk) }()
		return errors.Join(forwardAll(ctx, r, a.Out), <-inside, <-outside)
	})
	addDeed("ping", func(ctx context.Context, a deedArgs) error {
		if err := a.Out.Put(ctx, "ping"); err != nil {
			return err
		}
		v, err := a.In.Get(ctx)
		if v != "pong" || err != nil {
			return fmt.Errorf("got %q, %v", v, err)
		}
		os.Exit(5)
		return nil
	})
	addDeed("pong", func(ctx context.Context, a deedArgs) error {
		v, err := a.In.Get(ctx)
		if v != "ping" || err != nil {
			return fmt.Errorf("got %q, %v", v, err)
		}
		if err := a.Out.Put(ctx, "pong"); err != nil {
			return err
		}
		if _, err := a.In.Get(ctx); !errors.Is(err, io.ErrUnexpectedEOF) { // it exited without closing its Writer
			return fmt.Errorf("behind the end of the other: %v", err)
		}
		return nil
	})
	// Sends on through goroutines and native channels, and counts the laps in N.
	addDeed("relay", func(ctx context.Context, a deedArgs) error {
		in, inErr := a.In.Chan(ctx)
		out, outErr := a.Out.Chan(ctx)
		queue := make(chan string, 3)
		go func() {
			defer close(queue)
			for v := range in {
				queue <- v
			}
		}()
		for v := range queue {
			select {
			case out <- v + ".":
			case err := <-outErr:
				return err
			}
		}
		close(out)
		return errors.Join(<-inErr, <-outErr)
	})
	addDeed("stamp", func(ctx context.Context, a deedArgs) error {
		for range a.N {
			if _, err := a.Talk.Get(ctx); err != nil {
				return err
			}
			if err := a.Talk.Put(ctx, time.Now().Format(time.RFC3339Nano)); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestEndsPassThroughThreeGenerations(t *testing.T) {
	ctx := test.Context(t)
	mine, theirs := duplexOf[string, string](t, nil, nil)
	p := spawnIt(t, entryDeed, deedArgs{Do: "hand on", Talk: theirs, N: 3}, nil)
	test.Check(t, mine.Put(ctx, "far away"))
	if got := get(t, ctx, mine); got != "far away" {
		t.Error(got)
	}
	test.Check(t, mine.CloseWrite())
	test.Check(t, p.Wait(ctx))
}

// Both ends of a channel go to two children; nothing of it is left here.
func TestSiblingsTalkToEachOther(t *testing.T) {
	ctx := test.Context(t)
	r, w := stringPipe(t)
	answers, answer := stringPipe(t)
	const n = 100
	writer := spawnIt(t, entryDeed, deedArgs{Do: "count", Out: w, N: n}, nil)
	reader := spawnIt(t, entryDeed, deedArgs{Do: "forward", In: r, Out: answer}, nil)
	for i := range n {
		if got := get(t, ctx, answers); got != fmt.Sprint(i) {
			t.Errorf("got %s, want %d", got, i)
		}
	}
	test.Check(t, errors.Join(writer.Wait(ctx), reader.Wait(ctx)))
}

func TestSynchronisedSiblingsEndDifferently(t *testing.T) {
	ctx := test.Context(t)
	r1, w1 := stringPipe(t)
	r2, w2 := stringPipe(t)
	ping := spawnIt(t, entryDeed, deedArgs{Do: "ping", In: r2, Out: w1}, nil)
	pong := spawnIt(t, entryDeed, deedArgs{Do: "pong", In: r1, Out: w2}, nil)
	var e *ExitError
	if !errors.As(ping.Wait(ctx), &e) || e.Code != 5 {
		t.Error(ping.Wait(ctx))
	}
	test.Check(t, pong.Wait(ctx))
}

func TestTwoChannelsIntoOneChildAndOneInsideIt(t *testing.T) {
	ctx := test.Context(t)
	in, w := stringPipe(t)
	r, out := stringPipe(t)
	mine, theirs := duplexOf[string, string](t, nil, nil)
	p := spawnIt(t, entryDeed, deedArgs{Do: "talk inside", In: in, Out: out, Talk: theirs}, nil)
	for i := range 50 {
		test.Check(t, w.Put(ctx, fmt.Sprint("in ", i)))
		test.Check(t, mine.Put(ctx, fmt.Sprint("talk ", i)))
		if got, talked := get(t, ctx, r), get(t, ctx, mine); got != fmt.Sprint("in ", i) || talked != fmt.Sprint("talk ", i) {
			t.Errorf("%d: got %q, %q", i, got, talked)
		}
	}
	test.Check(t, errors.Join(w.Close(), mine.CloseWrite(), p.Wait(ctx)))
}

func TestRingOfProcesses(t *testing.T) {
	ctx := test.Context(t)
	const members, messages = 5, 100
	first, next := stringPipe(t)
	in := first
	var ring []*Process
	var last *Reader[string]
	for range members {
		r, w := stringPipe(t)
		ring = append(ring, spawnIt(t, entryDeed, deedArgs{Do: "relay", In: in, Out: w}, nil))
		in, last = r, r
	}
	sent := make(chan error, 1)
	go func() {
		for i := range messages {
			if err := next.Put(ctx, fmt.Sprint(i)); err != nil {
				sent <- err
				return
			}
		}
		sent <- next.Close() // stops the ring, one after the other
	}()
	i := 0
	for v, err := range last.All(ctx) {
		test.Check(t, err)
		if want := fmt.Sprint(i) + strings.Repeat(".", members); v != want {
			t.Errorf("got %q, want %q", v, want)
		}
		i++
	}
	if i != messages {
		t.Errorf("%d messages came around", i)
	}
	test.Check(t, <-sent)
	for _, p := range ring {
		test.Check(t, p.Wait(ctx))
	}
}

func TestTenConversationsAtOnce(t *testing.T) {
	ctx := test.Context(t)
	var wg sync.WaitGroup
	for i := range 10 {
		mine, theirs := duplexOf[string, string](t, nil, nil)
		p := spawnIt(t, entryDeed, deedArgs{Do: "echo", Talk: theirs}, nil)
		wg.Go(func() {
			for j := range 100 {
				text := fmt.Sprint(i, " ", j, strings.Repeat("x", j*100))
				if err := mine.Put(ctx, text); err != nil {
					t.Error(err)
				}
				if got, err := mine.Get(ctx); got != text || err != nil {
					t.Errorf("%d bytes for %d, %v", len(got), len(text), err)
				}
			}
			if err := errors.Join(mine.CloseWrite(), p.Wait(ctx)); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// The seed wants 30 ms; what is tested is that a stamp lies between question and answer.
func TestTimeStampsOfAChildLieBetweenQuestionAndAnswer(t *testing.T) {
	ctx := test.Context(t)
	mine, theirs := duplexOf[string, string](t, nil, nil)
	const n = 20
	p := spawnIt(t, entryDeed, deedArgs{Do: "stamp", Talk: theirs, N: n}, nil)
	for range n {
		asked := time.Now().Round(0)
		test.Check(t, mine.Put(ctx, ""))
		stamp, err := time.Parse(time.RFC3339Nano, get(t, ctx, mine))
		test.Check(t, err)
		if now := time.Now().Round(0); stamp.Before(asked) || stamp.After(now) {
			t.Errorf("asked %v, stamp %v, answered %v", asked, stamp, now)
		}
	}
	test.Check(t, p.Wait(ctx))
}

func TestHTTPHandlerSpawnsAChildForEachRequest(t *testing.T) {
	ctx := test.Context(t)
	server := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		r, w, err := Pipe(inMemory[string](nil))
		if err == nil {
			_, err = Spawn(request.Context(), entryDeed, deedArgs{Do: "say", Out: w, Text: "hi " + request.URL.Path}, nil)
		}
		if err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		defer r.Close()
		text, err := r.Get(request.Context())
		fmt.Fprint(answer, text, " ", err)
	}))
	defer server.Close()
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			request, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprint(server.URL, "/", i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if want := fmt.Sprintf("hi /%d <nil>", i); string(body) != want || err != nil {
				t.Errorf("%s %v", body, err)
			}
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
}
