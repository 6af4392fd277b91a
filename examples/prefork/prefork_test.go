//go:build unix

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
)

func TestMain(m *testing.M) {
	gipc.Init()
	os.Exit(m.Run())
}

// startServer runs a server and returns its URL and the channel that reloads it.
func startServer(t *testing.T, workers int) (url string, reload chan<- os.Signal) {
	t.Helper()
	listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &prefork{listener: listener, workers: workers, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	ctx, cancel := context.WithCancel(context.Background())
	signals, ended := make(chan os.Signal), make(chan error, 1)
	go func() { ended <- p.run(ctx, signals) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = listener.Close()
	})
	return fmt.Sprintf("http://%s/?wait=20ms", listener.Addr()), signals
}

// answer is what became of a request. The worker is known as soon as it has begun to answer.
type answer struct {
	worker, generation int
	err                error
}

func ask(client *http.Client, url string) (a answer) {
	response, err := client.Get(url)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	a.worker, _ = strconv.Atoi(response.Header.Get("Worker"))
	a.generation, _ = strconv.Atoi(response.Header.Get("Generation"))
	_, a.err = io.Copy(io.Discard, response.Body)
	return a
}

// clients ask without a pause, each in a connection of its own for each request, until stop is called.
func clients(t *testing.T, n int, url string) (answers <-chan answer, stop func()) {
	t.Helper()
	all := make(chan answer, 100_000) // never full
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 30 * time.Second}
	for range n {
		asking.Go(func() {
			for ctx.Err() == nil {
				all <- ask(client, url)
			}
		})
	}
	stop = func() {
		cancel()
		asking.Wait()
	}
	t.Cleanup(stop)
	return all, stop
}

// await receives answers until one satisfies ok, and returns all of them.
func await(answers <-chan answer, ok func(answer) bool) (got []answer) {
	for a := range answers {
		if got = append(got, a); ok(a) {
			return got
		}
	}
	return got
}

func rest(answers <-chan answer) (got []answer) {
	for len(answers) > 0 {
		got = append(got, <-answers)
	}
	return got
}

// A worker that is killed takes only the requests that it was serving.
func TestKilledWorker(t *testing.T) {
	url, _ := startServer(t, 3)
	const n = 24 // so that each worker is busy whenever it is killed
	answers, stop := clients(t, n, url)
	var all []answer
	var killed []int
	for range 3 {
		got := await(answers, func(a answer) bool { return a.err == nil && !slices.Contains(killed, a.worker) })
		victim := got[len(got)-1].worker
		all, killed = append(all, got...), append(killed, victim)
		if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		seen := 0 // answers after the kill
		all = append(all, await(answers, func(a answer) bool {
			seen++
			return seen == 10*n
		})...)
	}
	stop()
	lost := 0
	for _, a := range append(all, rest(answers)...) {
		if a.err == nil {
			continue
		}
		lost++
		if a.worker != 0 && !slices.Contains(killed, a.worker) {
			t.Errorf("worker %d was not killed, but: %v", a.worker, a.err)
		}
	}
	t.Logf("%d requests lost of %d, with %d workers", lost, len(all), len(killed))
	if lost == 0 || lost > len(killed)*n {
		t.Errorf("%d requests are lost", lost)
	}
}

// New generations come and old ones go under load, and no request fails.
func TestReload(t *testing.T) {
	url, reload := startServer(t, 3)
	answers, stop := clients(t, 8, url)
	var all []answer
	for generation := 1; generation <= 4; generation++ {
		if generation > 1 {
			reload <- syscall.SIGHUP
		}
		seen := 0
		all = append(all, await(answers, func(a answer) bool {
			if a.generation == generation {
				seen++
			}
			return a.err != nil || seen == 40
		})...)
	}
	stop()
	for _, a := range append(all, rest(answers)...) {
		if a.err != nil {
			t.Error(a.err)
		}
	}
	t.Logf("%d requests", len(all))
}
