package pool

import (
	"context"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"sync"

	"github.com/go-gipc/gipc"
)

// Task is a function that the workers of a pool run. Register and RegisterWith make it; New panics for the zero value. It may be
// used by any number of pools, and from any number of goroutines at once.
type Task[A, R any] struct {
	name   string
	entry  *gipc.Entrypoint[workerArgs]
	open   opener[A, R]
	config []byte // encoded
	arg    gipc.Codec[A]
	result gipc.Codec[R]
}

// opener makes a worker's function, given the encoded config.
type opener[A, R any] func(ctx context.Context, config []byte) (func(ctx context.Context, arg A) (R, error), error)

// Register names fn as a task. Like [gipc.Register], call it when the program starts, in parent and child alike: in a
// package-level variable or an init function. Tasks and entrypoints share one space of names. Register panics if the name is
// empty or taken, or if fn is nil.
//
//	var resize = pool.Register("resize", func(ctx context.Context, job Job) (Image, error) { … })
//
// In a worker, fn runs on a goroutine of its own. Its ctx ends when the ctx of Do ends, after Options.Timeout, and when the
// pool is closed. context.Cause tells which: the cause of Do's ctx, ErrTimeout or ErrClosed. The ctx has the deadline of
// Do's, or that of Options.Timeout if it is earlier, but none of its values. An fn that has not returned after Options.Grace
// costs its worker.
//
// Arguments and results travel as CBOR, unless WithCodecs says otherwise. Channel ends and files in them are refused.
func Register[A, R any](name string, fn func(ctx context.Context, arg A) (R, error)) *Task[A, R] {
	if fn == nil {
		panic("gipc/pool: Register: task " + name + " has no function")
	}
	return newTask(name, func(context.Context, []byte) (func(context.Context, A) (R, error), error) { return fn, nil })
}

// Factory makes tasks whose workers hold something that is built once: a model, a connection, a C library.
type Factory[C, A, R any] struct{ task *Task[A, R] }

// RegisterWith is Register for a function that needs something which each worker builds once. Open runs when a worker starts,
// with the config that With got, and returns the function that runs the tasks. The worker takes tasks when open has returned.
// If open returns an error, the worker has failed to start. Its ctx lives as long as the worker: what open starts should end
// with it. Cleanup registers what must be done at the end.
//
//	var classify = pool.RegisterWith("classify", func(ctx context.Context, c Config) (func(context.Context, Text) (Label, error), error) {
//		model, err := load(c.Path)
//		if err != nil {
//			return nil, err
//		}
//		pool.Cleanup(ctx, model.Close)
//		return model.classify, nil
//	})
//
//	p, err := pool.New(classify.With(Config{Path: "m.bin"}), nil)
//
// The config travels as CBOR. RegisterWith panics as Register does, and if C can't be encoded.
func RegisterWith[C, A, R any](name string, open func(ctx context.Context, config C) (func(ctx context.Context, arg A) (R, error), error)) *Factory[C, A, R] {
	if open == nil {
		panic("gipc/pool: RegisterWith: task " + name + " has no function")
	}
	if err := gipc.CheckCodec(configCodec[C]()); err != nil {
		panic(fmt.Sprintf("gipc/pool: RegisterWith: config of task %s: %v", name, err))
	}
	f := &Factory[C, A, R]{}
	f.task = newTask(name, func(ctx context.Context, encoded []byte) (func(context.Context, A) (R, error), error) {
		var config C
		if err := configCodec[C]().Decode(encoded, &config); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
		fn, err := open(ctx, config)
		if err == nil && fn == nil {
			err = fmt.Errorf("the function that RegisterWith got for task %s returned no function", name)
		}
		return fn, err
	})
	return f
}

func configCodec[C any]() gipc.Codec[C] { return gipc.CBOR[C]{} }

// With returns the task for a config, which is encoded at once. With panics if the config can't be encoded.
func (f *Factory[C, A, R]) With(config C) *Task[A, R] {
	encoded, err := configCodec[C]().Append(nil, config)
	if err != nil {
		panic(fmt.Sprintf("gipc/pool: config of task %s: %v", f.task.name, err))
	}
	t := *f.task
	t.config = encoded
	return &t
}

func newTask[A, R any](name string, open opener[A, R]) *Task[A, R] {
	t := &Task[A, R]{name: name, open: open, arg: gipc.CBOR[A]{}, result: gipc.CBOR[R]{}}
	t.entry = gipc.Register(name, func(ctx context.Context, args workerArgs) error {
		defer surviveSignals()()
		return t.serve(ctx, args)
	})
	return t
}

// WithCodecs returns the same task with other codecs for its arguments and results. nil: CBOR. A codec that is not one of
// gipc's must be known to [gipc.RegisterCodec], because workers find it by its name. New returns an error otherwise.
func (t *Task[A, R]) WithCodecs(arg gipc.Codec[A], result gipc.Codec[R]) *Task[A, R] {
	if arg == nil {
		arg = gipc.CBOR[A]{}
	}
	if result == nil {
		result = gipc.CBOR[R]{}
	}
	other := *t
	other.arg, other.result = arg, result
	return &other
}

// Name returns the name that the task was registered with.
func (t *Task[A, R]) Name() string { return t.name }

// ArgCodec returns the codec of the arguments. It is for transports of your own.
func (t *Task[A, R]) ArgCodec() gipc.Codec[A] { return t.arg }

// ResultCodec returns the codec of the results. It is for transports of your own.
func (t *Task[A, R]) ResultCodec() gipc.Codec[R] { return t.result }

// check says what is wrong with the types or codecs.
func (t *Task[A, R]) check() error {
	if err := gipc.CheckCodec(t.arg); err != nil {
		return fmt.Errorf("argument: %w", err)
	}
	if err := gipc.CheckCodec(t.result); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// serve is the worker's side of a task: it runs what comes over args.Tasks until ctx ends or the pool closes the channel.
func (t *Task[A, R]) serve(ctx context.Context, args workerArgs) error {
	argCodec, err := gipc.LookupCodec[A](args.ArgCodec)
	if err != nil {
		return err
	}
	resultCodec, err := gipc.LookupCodec[R](args.ResultCodec)
	if err != nil {
		return err
	}
	return serve(ctx, args, func(ctx context.Context) (run, error) {
		fn, err := t.open(ctx, args.Config)
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, encoded []byte, decoded func(), out []byte) ([]byte, error) {
			var arg A
			err := decode(argCodec, encoded, &arg)
			decoded()
			if err != nil {
				return nil, &valueError{err}
			}
			result, err := fn(ctx, arg)
			if err != nil {
				return nil, err
			}
			out, err = encode(resultCodec, out, result)
			if err != nil {
				return nil, &valueError{err}
			}
			return out, nil
		}, nil
	})
}

// encode appends v to dst. Its errors are typed.
func encode[T any](c gipc.Codec[T], dst []byte, v T) ([]byte, error) {
	out, err := c.Append(dst, v)
	if err != nil {
		return dst, &gipc.EncodeError{Type: reflect.TypeFor[T]().String(), Codec: c.Name(), Err: err}
	}
	return out, nil
}

// decode decodes src into *v. Its errors are typed.
func decode[T any](c gipc.Codec[T], src []byte, v *T) error {
	if err := c.Decode(src, v); err != nil {
		return &gipc.DecodeError{Type: reflect.TypeFor[T]().String(), Codec: c.Name(), Size: len(src), Err: err}
	}
	return nil
}

type cleanupKey struct{}

// cleanups are functions to run at the end.
type cleanups struct {
	mu  sync.Mutex
	fns []func()
}

// Cleanup makes f run when the worker ends other than by a crash or a kill: the function registered last runs first. The worker
// has Options.Grace for its tasks and all of them. Call it in the function that RegisterWith got, with its ctx or one derived
// from it. It panics for any other ctx.
func Cleanup(ctx context.Context, f func()) {
	c, ok := ctx.Value(cleanupKey{}).(*cleanups)
	if !ok {
		panic("gipc/pool: Cleanup: the ctx is not that of a worker")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fns = append(c.fns, f)
}

func (c *cleanups) run() {
	c.mu.Lock()
	fns := slices.Clone(c.fns)
	c.mu.Unlock()
	for _, f := range fns {
		defer f() // the last one first, and each, even if another one panics
	}
}

// check panics where a call can't be meant, before it has any effect.
func (p *Pool[A, R]) check(ctx context.Context) {
	p.mustBeMade()
	mustBeContext(ctx)
}

func (p *Pool[A, R]) checkLoop(ctx context.Context, args iter.Seq[A]) {
	p.check(ctx)
	if args == nil {
		panic("gipc/pool: a call got a nil iter.Seq")
	}
}

func (p *Pool[A, R]) mustBeMade() {
	if p.core == nil {
		panic("gipc/pool: a Pool is made by New")
	}
}

func mustBeContext(ctx context.Context) {
	if ctx == nil {
		panic("gipc/pool: a call got a nil Context")
	}
}
