// Package gipcnats runs the tasks of package pool on other machines, and has typed channels between them, over NATS with
// JetStream:
//
//	c, err := gipcnats.NewClient(nc, resize, nil) // a program that has work
//	img, err := c.Do(ctx, job)
//
//	p, err := pool.New(resize, nil) // any number of programs that do it, anywhere
//	err = gipcnats.Serve(ctx, nc, p, nil)
//
// A task is stored in a stream before Do waits for it, and acknowledged when its result is stored. So worker processes,
// machines, the server and the client may die at any moment: each Do returns, once. A task may run more than once, if the
// machine that ran it is lost. docs/nats.md has the whole contract, in two tables.
//
// The connection is the user's: its address, TLS, credentials, and how long it tries to reconnect, which nats.go's default
// limits to two minutes (see [nats.MaxReconnects]). No function here closes it.
//
// # Errors
//
// Do returns the ctx's error if its ctx has ended, [pool.ErrQueueFull], [pool.ErrTimeout], [ErrNoWorker], [ErrLost],
// [ErrClosed], or a [*pool.TaskError] or [*pool.WorkerError], which mean what they mean for a Pool. An argument that can't be
// sent is an error that wraps a [*gipc.EncodeError] or [*gipc.TooLargeError]. An error of nats.go is wrapped if the connection
// is closed or the server refuses.
package gipcnats

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What this package says of tasks and channels. Match these with errors.Is. They never match through a *pool.TaskError.
var (
	// ErrNoWorker says that for Options.NoWorker nobody served a task of this name, version, codecs and types.
	ErrNoWorker = errors.New("no worker serves this version of the task: start one with the same task and Options.Version, or raise Options.NoWorker")

	// ErrLost says that a task is gone from its stream and has no result: its client was away for longer than Options.Lease, or
	// somebody purged or deleted the stream, or the stream ended with its server's memory. Nobody knows whether it ran. Or the
	// task is there, or its result, but its large value is gone from the object store. A Reader's Get returns it, too, for a message
	// whose large value is gone.
	ErrLost = errors.New("the task or message is gone from the server")

	// ErrClosed says that the Client was closed.
	ErrClosed = errors.New("the client is closed")

	// ErrNoChannel says that the stream of a channel that was open is gone, with what was in it: somebody has deleted it, or it ended with
	// its server's memory. Who opens the channel anew makes it anew.
	ErrNoChannel = errors.New("the channel's stream is gone, or another one has its name: open the channel again")

	// ErrUncertain says that the server had not answered when the ctx of a Put or Close ended, the connection was closed, or it was
	// too late for a Put to ask again: the message may be stored.
	ErrUncertain = errors.New("the server has not answered, the message may be stored")
)

// Options say how tasks travel. The zero value, and nil, are good. Clients and Serves of a task need the same Prefix and
// Version. Those that describe streams count when the stream is made, by whoever comes first. Later they are changed with
// NATS's own tools.
type Options struct {
	// Prefix is what all subjects begin with, and, with _ for each dot, all streams. "": gipc.
	Prefix string

	// Version is part of a task's fingerprint. Change it when the meaning of a task changes and its types don't.
	Version string

	// Memory keeps the streams in the server's memory instead of on disk: they end with the server.
	Memory bool

	// Replicas is on how many servers of a cluster the streams are. 0: 1.
	Replicas int

	// MaxTasks and MaxBytes bound the stream of a task's waiting and running tasks. When it is full, Do returns
	// pool.ErrQueueFull. 0: no limit but the server's.
	MaxTasks, MaxBytes int64

	// AckWait is after how long without a sign of life from its Serve a task goes to another one. The longest of all Serves of
	// the task counts for all, also when that one has ended: NATS's own tools make the consumer's shorter. 0: 30 s. At least 1 s,
	// at most 7 days.
	AckWait time.Duration

	// MaxStarts is how often a task is started on workers that die under it. 0: 5.
	MaxStarts int

	// Lease is how long a client may be away before its tasks are cancelled. 0: 1 min. At least 3 s, at most 7 days.
	Lease time.Duration

	// NoWorker is how long nobody may serve a task that waits before its Do returns ErrNoWorker. 0: 30 s. Negative: for ever.
	NoWorker time.Duration

	// Window is how many arguments All has taken and not yet yielded, at most. 0: 256.
	Window int

	// MaxValue is the greatest size of an encoded argument or result, in bytes, that this side sends or takes, in a message or
	// beside it. 0: 1 GiB.
	MaxValue int

	// Logger gets what no caller can be told: cancelled tasks of lost clients, dead letters, a server that doesn't answer.
	// nil: none.
	Logger *slog.Logger
}

func (o *Options) resolve() error {
	if o.Prefix == "" {
		o.Prefix = "gipc"
	}
	for token := range strings.SplitSeq(o.Prefix, ".") {
		if token == "" || escape(token) != token {
			return fmt.Errorf("Options.Prefix is %q: it must consist of letters, digits, - and _, with single dots between", o.Prefix)
		}
	}
	def(&o.AckWait, 30*time.Second)
	def(&o.MaxStarts, 5)
	def(&o.Lease, time.Minute)
	def(&o.NoWorker, 30*time.Second)
	def(&o.Window, 256)
	def(&o.MaxValue, 1<<30)
	def(&o.Replicas, 1)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.AckWait < time.Second || o.AckWait > stateAge:
		return fmt.Errorf("Options.AckWait is %v: it must be from 1 s to 7 days", o.AckWait)
	case o.Lease < 3*time.Second || o.Lease > stateAge:
		return fmt.Errorf("Options.Lease is %v: it must be from 3 s to 7 days", o.Lease)
	case o.MaxStarts < 0, o.Window < 0, o.MaxValue < 0, o.Replicas < 0, o.MaxTasks < 0, o.MaxBytes < 0:
		return errors.New("a number in Options is negative: of these only NoWorker may be")
	}
	return nil
}

// def gives an option its default.
func def[T comparable](option *T, value T) {
	var zero T
	if *option == zero {
		*option = value
	}
}

func (o *Options) storage() jetstream.StorageType {
	if o.Memory {
		return jetstream.MemoryStorage
	}
	return jetstream.FileStorage
}

// names has every subject and stream.
type names struct{ prefix string }

func (n names) stream(parts ...string) string {
	return strings.ReplaceAll(n.prefix, ".", "_") + "_" + strings.Join(parts, "_")
}

func (n names) subject(parts ...string) string { return n.prefix + "." + strings.Join(parts, ".") }

func (n names) taskStream(k kindOf) string { return n.stream("task", k.name) }
func (n names) resultStream() string       { return n.stream("result") }
func (n names) stateStream() string        { return n.stream("state") }
func (n names) deadStream() string         { return n.stream("dead") }
func (n names) values() string             { return n.stream("values") }
func (n names) task(k kindOf, id id) string {
	return n.subject("task", k.name, k.print, id.client, id.number)
}
func (n names) dead(k kindOf, id id) string {
	return n.subject("dead", k.name, k.print, id.client, id.number)
}
func (n names) result(id id) string         { return n.subject("result", id.client, id.number) }
func (n names) starts(id id) string         { return n.subject("state", "starts", id.client, id.number) }
func (n names) lease(client string) string  { return n.subject("state", "lease", client) }
func (n names) cancel(k kindOf) string      { return n.subject("cancel", k.name, k.print) }
func (n names) who(k kindOf) string         { return n.subject("who", k.name, k.print) }
func (n names) wanted(client string) string { return n.subject("wanted", client) }

// id names one task: its client, and which of the client's tasks it is.
type id struct{ client, number string }

func (i id) String() string { return i.client + "." + i.number }

// idOf returns the id at the end of a task's or result's subject.
func idOf(subject string) id {
	dot := strings.LastIndexByte(subject, '.')
	if dot < 0 {
		return id{}
	}
	return id{subject[strings.LastIndexByte(subject[:dot], '.')+1 : dot], subject[dot+1:]}
}

// newID returns an id that no other process has.
func newID() string { return rand.Text() }

// escape makes one token of a subject, and a part of a stream's name, of any text. No two texts have the same.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case c == '-', c == '_', '0' <= c && c <= '9', 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}
