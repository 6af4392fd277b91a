//go:build unix

// Prefork is an HTTP server in several processes that share one listening socket. A Supervisor keeps them running: a
// worker that dies takes no requests with it but those that it was serving. SIGHUP replaces all workers by new ones, and
// refuses no connection meanwhile. On Windows Go can't share a socket among processes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/supervisor"
)

type workerArgs struct {
	Listener   *os.File
	Generation int
}

var worker = gipc.Register("worker", serve)

// grace is the time for a worker to finish its requests in.
const grace = 10 * time.Second

// serve runs in a worker process. It accepts connections until it is asked to stop, and then finishes what it has accepted.
func serve(ctx context.Context, a workerArgs) error {
	listener, err := net.FileListener(a.Listener)
	if err != nil {
		return err
	}
	if err := a.Listener.Close(); err != nil { // listener has its own
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	if err := gipc.Ready(ctx); err != nil {
		return err
	}
	var open sync.WaitGroup // connections
	server := &http.Server{Handler: handler(a.Generation), ReadHeaderTimeout: grace / 2}
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Done()
		}
	}
	if err := server.Serve(listener); ctx.Err() == nil {
		return err
	}
	// Not Shutdown: it drops a connection that was accepted, but whose request is not read yet.
	server.SetKeepAlivesEnabled(false)
	open.Wait() // SIGTERM ends this if it takes too long
	return nil
}

// handler answers who it is, with ?wait=1s after a second.
func handler(generation int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Worker", fmt.Sprint(os.Getpid()))
		w.Header().Set("Generation", fmt.Sprint(generation))
		_ = http.NewResponseController(w).Flush() // whoever has left hears nothing
		wait, _ := time.ParseDuration(r.FormValue("wait"))
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
		}
		_, _ = fmt.Fprintf(w, "worker %d of generation %d\n", os.Getpid(), generation)
	})
}

// prefork is the parent: it has the socket, so that connections queue up while workers come and go.
type prefork struct {
	listener *net.TCPListener
	workers  int
	log      *slog.Logger
	last     int // generation
}

// generation is a set of workers.
type generation struct {
	*supervisor.Supervisor
	ended chan error // receives what Wait returns
}

// start starts a new generation and waits until all of it is ready.
func (p *prefork) start(ctx context.Context) (*generation, error) {
	p.last++
	number, ready := p.last, make(chan struct{}, p.workers)
	g := &generation{ended: make(chan error, 1)}
	g.Supervisor = supervisor.New(ctx, &supervisor.Options{Logger: p.log, OnEvent: func(e supervisor.Event) {
		if e.Kind == supervisor.EventReady {
			select {
			case ready <- struct{}{}:
			default: // a worker's second life
			}
		}
	}})
	for i := range p.workers {
		err := g.Start(supervisor.Child(worker, func(context.Context) (workerArgs, error) {
			f, err := p.listener.File() // a copy: it moves to the worker
			return workerArgs{Listener: f, Generation: number}, err
		}, &supervisor.ChildOptions{
			WaitReady: true,
			Liveness:  10 * time.Second,
			Spawn:     &gipc.SpawnOptions{Name: fmt.Sprintf("worker %d.%d", number, i+1), Grace: grace},
		}))
		if err != nil {
			return nil, errors.Join(err, g.Stop(ctx))
		}
	}
	go func() { g.ended <- g.Wait() }()
	for range p.workers {
		select {
		case <-ready:
		case err := <-g.ended:
			return nil, fmt.Errorf("generation %d: %w", number, err)
		}
	}
	return g, nil
}

// run serves until ctx ends, or a generation fails for good. Each reload replaces the workers.
func (p *prefork) run(ctx context.Context, reload <-chan os.Signal) error {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	current, err := p.start(ctx)
	if err != nil {
		return err
	}
	for {
		select {
		case err := <-current.ended:
			if ctx.Err() != nil {
				return nil // asked to
			}
			return err
		case <-reload:
			next, err := p.start(ctx)
			if err != nil {
				p.log.Error("the old generation stays", "err", err)
				continue
			}
			old := current
			current = next
			retiring.Go(func() {
				if err := old.Stop(ctx); err != nil {
					p.log.Error("retiring", "err", err)
				}
			})
		}
	}
}

func listenAndRun(ctx context.Context, addr string, workers int) error {
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return err
	}
	listener, err := net.ListenTCP("tcp", a)
	if err != nil {
		return err
	}
	defer listener.Close()
	p := &prefork{listener: listener, workers: workers, log: slog.Default()}
	p.log.Info("listening", "addr", listener.Addr().String())
	reload := make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	return p.run(ctx, reload)
}

func main() {
	gipc.Init()
	addr := flag.String("addr", "localhost:8080", "where to listen")
	workers := flag.Int("workers", 4, "how many processes")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := listenAndRun(ctx, *addr, *workers); err != nil {
		slog.Error("prefork", "err", err)
		os.Exit(1)
	}
}
