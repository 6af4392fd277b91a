// Package pools has the worker pools of Go: gipc's, one written by hand, and one of plug-ins.
package pools

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"

	"github.com/go-gipc/gipc/bench/internal/pb"
	"github.com/go-gipc/gipc/bench/internal/rivals"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// All is every rival of this package, in the order of the tables. Each has as many workers as there are CPUs.
func All() []work.Rival {
	return []work.Rival{
		&rival{ByHand, "a Duplex to each of as many children as CPUs; a worker is taken for a task", "this tree", openByHand},
		&rival{"gipc pool", "pool.New with as many workers as CPUs", "this tree", openPool},
		&rival{"go-plugin", "a unary call to each of as many plug-ins as CPUs; one is taken for a task", work.Version("github.com/hashicorp/go-plugin"), openPlugins},
	}
}

// ByHand is the name of the pool that others are compared with.
const ByHand = "by hand, Duplex"

// A task runs one empty task.
type task func(ctx context.Context) error

type rival struct {
	name, about, version string
	open                 func(w work.Workload) (task, func() error, error)
}

func (r *rival) Name() string    { return r.name }
func (r *rival) About() string   { return r.about }
func (r *rival) Version() string { return r.version }

func (r *rival) Open(w work.Workload) (work.Session, error) {
	if w.Kind != work.Task {
		return nil, work.ErrNotOffered
	}
	do, end, err := r.open(w)
	if err != nil {
		return nil, err
	}
	return &session{do, end, w.InFlight}, nil
}

type session struct {
	do       task
	end      func() error
	inFlight int
}

func (s *session) Run(n int) (work.Round, error) {
	ctx := context.Background()
	began := time.Now()
	err := work.InParallel(s.inFlight, n, func(share int) error {
		for range share {
			if err := s.do(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	return work.Round{Total: time.Since(began)}, err
}

func (s *session) Close() error { return s.end() }

var empty = pool.Register("empty", func(context.Context, []byte) ([]byte, error) { return nil, nil })

func openPool(work.Workload) (task, func() error, error) {
	n := runtime.GOMAXPROCS(0)
	p, err := pool.New(empty, &pool.Options{Min: n, Max: n})
	if err != nil {
		return nil, nil, err
	}
	if err := p.WaitReady(context.Background()); err != nil {
		return nil, nil, errors.Join(err, p.Close())
	}
	do := func(ctx context.Context) error {
		_, err := p.Do(ctx, nil)
		return err
	}
	return do, p.Close, nil
}

// openSome opens as many workers as there are CPUs. A task takes one that is free.
func openSome(open func() (task, func() error, error)) (task, func() error, error) {
	n := runtime.GOMAXPROCS(0)
	free := make(chan task, n)
	var ends []func() error
	end := func() error {
		var errs []error
		for _, f := range ends {
			errs = append(errs, f())
		}
		return errors.Join(errs...)
	}
	for range n {
		do, endOne, err := open()
		if err != nil {
			return nil, nil, errors.Join(err, end())
		}
		free <- do
		ends = append(ends, endOne)
	}
	do := func(ctx context.Context) error {
		one := <-free
		defer func() { free <- one }()
		return one(ctx)
	}
	return do, end, nil
}

var worker = gipc.Register("worker by hand", func(ctx context.Context, d *gipc.Duplex[[]byte, []byte]) error {
	var arg []byte
	for {
		if err := d.GetInto(ctx, &arg); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := d.Put(ctx, nil); err != nil {
			return err
		}
	}
})

func openByHand(work.Workload) (task, func() error, error) {
	return openSome(func() (task, func() error, error) {
		mine, theirs, err := gipc.NewDuplex[[]byte, []byte](nil, nil)
		if err != nil {
			return nil, nil, err
		}
		p, err := gipc.Spawn(context.Background(), worker, theirs, nil)
		if err != nil {
			return nil, nil, errors.Join(err, mine.CloseNow(), theirs.CloseNow())
		}
		var result []byte
		do := func(ctx context.Context) error {
			if err := mine.Put(ctx, nil); err != nil {
				return err
			}
			return mine.GetInto(ctx, &result)
		}
		end := func() error { return errors.Join(mine.Close(), p.Wait(context.Background())) }
		return do, end, nil
	})
}

func openPlugins(w work.Workload) (task, func() error, error) {
	return openSome(func() (task, func() error, error) {
		client, kill, err := rivals.StartPlugin(w)
		if err != nil {
			return nil, nil, err
		}
		do := func(ctx context.Context) error {
			_, err := client.Call(ctx, &pb.Bytes{})
			return err
		}
		end := func() error {
			kill()
			return nil
		}
		return do, end, nil
	})
}
