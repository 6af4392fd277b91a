package gipcnats

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// A task that kills each worker is started as often as the options say, becomes a dead letter, and its Do gets how the worker
// died.
func TestPoison(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := quick()
	o.MaxStarts = 3
	serving(t, url, o, &pool.Options{Max: 2})
	c := clientOf(t, url, o)
	ends, err := connect(t, url).SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
	test.Check(t, err)
	path := filepath.Join(t.TempDir(), "starts")
	_, err = c.Do(ctx, deed{Do: "panic", Path: path})
	var worker *pool.WorkerError
	if !errors.As(err, &worker) || worker.Starts != 3 || worker.Exit.Panic != "as told" {
		t.Fatalf("got %v", err)
	}
	test.Equal(t, len(lines(t, path)), 3)
	empty(t, c)

	dead, err := c.core.openDead(ctx)
	test.Check(t, err)
	letter, err := latest(ctx, dead, c.core.dead(c.core.kind, id{c.core.id, "*"}))
	test.Check(t, err)
	test.Equal(t, letter.Header.Get("Gipc-Task"), "obey me")
	test.Equal(t, letter.Header.Get("Gipc-Starts"), "3")
	reason := letter.Header.Get("Gipc-Reason")
	if !strings.Contains(reason, "as told") {
		t.Errorf("the dead letter's reason is %q", reason)
	}
	said, err := ends.NextMsgWithContext(ctx)
	test.Check(t, err)
	if !strings.Contains(string(said.Data), "at start 3") {
		t.Errorf("the server tells %s", said.Data)
	}
	m, err := parseTask(letter.Data)
	test.Check(t, err)
	var d deed
	test.Check(t, decode(obey.ArgCodec(), m.arg, &d))
	test.Equal(t, d.Path, path)
}

// A task whose dead letter can't be stored stays, and is not started again.
func TestDeadLetterThatIsNotStored(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	url := startServer(t).url()
	o := quick()
	o.MaxStarts = 1
	c := clientOf(t, url, o)
	dead, err := c.core.openDead(ctx)
	test.Check(t, err)
	full := dead.CachedInfo().Config
	full.MaxMsgs, full.Discard = 1, jetstream.DiscardNew
	_, err = c.core.js.UpdateStream(ctx, full)
	test.Check(t, err)
	_, err = c.core.js.Publish(ctx, c.core.dead(c.core.kind, id{"somebody", "1"}), nil)
	test.Check(t, err)
	logs := &test.Text{}
	o.Logger = slog.New(slog.NewTextHandler(logs, nil))
	serving(t, url, o, nil)
	path := filepath.Join(t.TempDir(), "starts")
	result := test.Started(func() error { _, err := c.Do(ctx, deed{Do: "panic", Path: path}); return err })
	test.Eventually(t, "the letter is refused", func() bool { return logs.Has("a dead letter is not stored") })
	test.Check(t, dead.Purge(ctx))
	var worker *pool.WorkerError
	if err := <-result; !errors.As(err, &worker) || worker.Starts != 1 {
		t.Errorf("got %v", err)
	}
	test.Equal(t, len(lines(t, path)), 1)
}
