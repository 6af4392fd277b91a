package pool

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/output"
	"github.com/go-gipc/gipc/internal/proc"
)

// Options say how a Pool works. The zero value, and nil, are good.
type Options struct {
	// Min and Max are how many worker processes there are. The pool keeps Min of them, and starts more, up to Max, while tasks
	// wait. Max 0: runtime.GOMAXPROCS. Min 0: 1. Negative: none, and the first task waits for a start.
	Min, Max int

	// PerWorker is how many tasks one worker runs at once. 0: 1. More is for functions that mostly wait. Tasks that share a
	// worker share its fate.
	PerWorker int

	// Queue is how many tasks may wait. Do returns ErrQueueFull when Max × PerWorker + Queue tasks are under way, whatever the
	// workers do. 0: 1,024. Negative: 0.
	Queue int

	// Idle is after how long a worker above Min that has nothing to do is stopped. 0: 1 min.
	Idle time.Duration

	// Timeout is how long a task may take from its start, when its argument begins to be sent to a worker. 0: for ever, only
	// the ctx of Do counts. Each start of a task that is run again has all of it.
	Timeout time.Duration

	// Grace is the time from cancelling a running task to killing its worker, and from asking a worker to end to killing it.
	// With PerWorker 1 a task learns up to 20 ms late that it is cancelled. 0: 1 s.
	Grace time.Duration

	// Retries is how often a task whose worker died under it is started again, on another worker. 0: never. Set it only if a
	// task may run twice: nobody knows how far it got the first time.
	Retries int

	// MaxTasks is after how many tasks a worker is replaced, or up to a tenth fewer, so that not all go at once. 0: never.
	MaxTasks int

	// MaxAge is after how long a worker is replaced, or up to a tenth earlier. 0: never.
	MaxAge time.Duration

	// MaxMemory is the resident memory of a worker, in bytes, above which it is replaced. It is looked at after a task, at most
	// every 100 ms, and once more after debug.FreeOSMemory. 0: never. It holds nothing back while a task runs. Only Linux can
	// tell: elsewhere New returns an error that matches errors.ErrUnsupported.
	MaxMemory uint64

	// MaxArg and MaxResult are the greatest size of an encoded argument and result, in bytes. 0: 1 GiB and 64 MiB. A larger
	// one fails with a *gipc.TooLargeError. A hostile worker can make this process hold MaxResult bytes.
	MaxArg, MaxResult int

	// Shared is gipc.Options.Shared of the two channels to each worker, in bytes: arguments and results go through memory that
	// this process and the worker share, so much for each direction. 0: none. It is for many small tasks and for large
	// arguments and results. The memory counts in a worker's resident memory: see MaxMemory.
	Shared int

	// InProcess runs the function on goroutines of this process, behind the same codecs. It is for debuggers and profiles.
	// Nothing is isolated: a panic ends the program, and a function that ignores its ctx is abandoned after Grace.
	InProcess bool

	// Spawn are the options of each worker's process. Stdout and Stderr, if they are no files, are written by one goroutine at
	// a time. A Stdin that is no file is an error of New, because workers would take input from each other, and so is a CPU
	// limit, because it is of a worker's whole life. StartTimeout
	// covers the function that RegisterWith got. Grace 0: Options.Grace. Logger nil: Options.Logger.
	Spawn *gipc.SpawnOptions

	// OnEvent is called when a worker was started, became ready, or ended, one call at a time and in order, in a goroutine of
	// its own. It can't hold up the pool, and may call its methods. Up to 1024 events wait for a slow OnEvent. Further ones
	// are dropped and counted in Event.Dropped.
	OnEvent func(Event)

	// OnTask is called at the end of each task, on the goroutine of its Do, before Do returns, or of the loop over All or Unordered.
	// Tasks of a loop that was left are not told. It is for metrics.
	OnTask func(TaskInfo)

	// Logger gets each event, those of lost workers as warnings, the others for debugging. The workers' own logs go there too.
	// nil: none.
	Logger *slog.Logger
}

const (
	defaultQueue        = 1024
	defaultIdle         = time.Minute
	defaultGrace        = time.Second
	defaultStartTimeout = 30 * time.Second // as gipc.SpawnOptions.StartTimeout
	defaultMaxArg       = 1 << 30
	defaultMaxResult    = 64 << 20
)

// resolve fills in defaults, or says what makes no sense.
func (o *Options) resolve() error {
	switch {
	case o.Max < 0 || o.PerWorker < 0 || o.Retries < 0 || o.MaxTasks < 0 || o.MaxArg < 0 || o.MaxResult < 0 || o.Shared < 0:
		return errors.New("one of Max, PerWorker, Retries, MaxTasks, MaxArg, MaxResult and Shared is negative")
	case o.Idle < 0 || o.Timeout < 0 || o.Grace < 0 || o.MaxAge < 0:
		return errors.New("a duration is negative")
	}
	setDefault(&o.Max, runtime.GOMAXPROCS(0))
	setDefault(&o.Min, 1)
	setDefault(&o.PerWorker, 1)
	setDefault(&o.Queue, defaultQueue)
	setDefault(&o.Idle, defaultIdle)
	setDefault(&o.Grace, defaultGrace)
	setDefault(&o.MaxArg, defaultMaxArg)
	setDefault(&o.MaxResult, defaultMaxResult)
	o.Min, o.Queue = max(o.Min, 0), max(o.Queue, 0)
	if o.Min > o.Max {
		return fmt.Errorf("option Min is %d, above Max, %d", o.Min, o.Max)
	}
	if o.MaxMemory > 0 && !o.InProcess {
		if _, err := proc.ResidentMemory(); err != nil {
			return fmt.Errorf("MaxMemory: %w", err)
		}
	}
	return o.resolveSpawn()
}

func (o *Options) resolveSpawn() error {
	var spawn gipc.SpawnOptions
	if o.Spawn != nil {
		spawn = *o.Spawn
	}
	if _, isFile := spawn.Stdin.(*os.File); spawn.Stdin != nil && !isFile {
		return errors.New("option Spawn.Stdin is no *os.File: workers would take input from each other")
	}
	if spawn.Limits != nil && spawn.Limits.CPU > 0 {
		return errors.New("option Spawn.Limits.CPU is of a worker's whole life, and ends healthy workers: use Timeout")
	}
	setDefault(&spawn.Grace, o.Grace)
	setDefault(&spawn.StartTimeout, defaultStartTimeout)
	setDefault(&spawn.Logger, o.Logger)
	spawn.Stdout = output.Lock(spawn.Stdout, nil, nil)
	stdout := []io.Writer{spawn.Stdout}
	spawn.Stderr = output.Lock(spawn.Stderr, stdout, stdout)
	o.Spawn = &spawn
	return nil
}

func setDefault[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
