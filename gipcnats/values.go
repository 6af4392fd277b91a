package gipcnats

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc"
)

// A value that is too large for a message is an object. Its name is the subject of the message that stands for it, and a header
// names that message's stream. So whoever sweeps can tell which objects nobody will ask for: those whose message is gone.

const (
	streamHeader = "Gipc-Stream"
	chunkSize    = 512 << 10        // bytes, if the server's limit allows
	fetchTime    = 2 * time.Minute  // for one try
	sweepAge     = 10 * time.Minute // an object is stored before its message is: younger ones stay, and who waits renews his
	sweepEvery   = 10 * time.Minute
)

var errNoValue = errors.New("the large value is gone from the object store")

// inline says whether a value of so many bytes goes into a message.
func (b *broker) inline(size int) bool { return int64(size)+headRoom <= b.nc.MaxPayload() }

func (b *broker) objects(ctx context.Context) (jetstream.ObjectStore, error) {
	store, err := b.js.ObjectStore(ctx, b.values())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		store, err = b.js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
			Bucket: b.values(), Storage: b.opts.storage(), Replicas: b.opts.Replicas,
		})
	}
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", b.values(), err)
	}
	return store, nil
}

// putValue stores a large value, whose message will go to this stream and subject. It tries until ctx ends.
func (b *broker) putValue(ctx context.Context, stream, subject string, value []byte) error {
	meta := jetstream.ObjectMeta{
		Name: subject, Headers: nats.Header{streamHeader: {stream}},
		Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(min(chunkSize, b.nc.MaxPayload()/2))},
	}
	return b.again(ctx, func(outer context.Context) error {
		ctx, cancel := context.WithCancel(context.WithoutCancel(outer)) // with a deadline, Put would wait for a lost answer until then
		defer cancel()
		defer context.AfterFunc(outer, cancel)()
		store, err := b.objects(ctx)
		if err == nil {
			_, err = store.Put(ctx, meta, bytes.NewReader(value))
		}
		return err
	})
}

// largeValue is a value whose message is not stored yet. Until then it looks like one that a crash has left behind.
type largeValue struct {
	stream, subject string // of its message
	data            []byte
	young           time.Time // when it was last stored or renewed. Zero: never
}

// keep stores a large value, and renews it before a sweep takes it for one that a crash has left behind. If a sweep was faster,
// it is stored again.
func (b *broker) keep(ctx context.Context, v *largeValue) error {
	now := time.Now()
	if age(v.young) < b.sweepAge/2 {
		return nil
	}
	renewed := false
	if !v.young.IsZero() {
		err := b.again(ctx, func(ctx context.Context) (err error) {
			renewed, err = b.renewValue(ctx, v.subject)
			return err
		})
		if err != nil {
			return err
		}
	}
	if !renewed {
		if err := b.putValue(ctx, v.stream, v.subject, v.data); err != nil {
			return err
		}
	}
	v.young = now
	return nil
}

// renewValue makes a large value young again, by storing what describes it once more. It returns false if the value is not there.
func (b *broker) renewValue(ctx context.Context, subject string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	stream, err := b.js.Stream(ctx, "OBJ_"+b.values())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	old, err := latest(ctx, stream, b.meta(subject))
	if err != nil || old == nil {
		return false, err
	}
	m := &nats.Msg{Subject: old.Subject, Data: old.Data, Header: nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}}}
	_, err = b.js.PublishMsg(ctx, m, jetstream.WithExpectLastSequencePerSubject(old.Sequence), jetstream.WithRetryAttempts(0))
	if isWrongSequence(err) { // a sweep was faster
		return false, nil
	}
	return err == nil, err
}

// again does something until it succeeds, fails for good, or ctx ends.
func (b *broker) again(ctx context.Context, do func(ctx context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		err := do(ctx)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case b.final(err):
			return refusal(err)
		}
		b.opts.Logger.Debug("gipcnats: the server does not answer, trying again", "error", err)
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// getValue fetches a large value. What its sender says of its size is not believed: memory grows with what arrives.
func (b *broker) getValue(ctx context.Context, subject string) (value []byte, err error) {
	var refused error
	err = b.again(ctx, func(ctx context.Context) error {
		value, err = b.tryGetValue(ctx, subject)
		var size *gipc.TooLargeError
		if errors.Is(err, errNoValue) || errors.As(err, &size) {
			refused, err = err, nil
		}
		return err
	})
	if err == nil {
		err = refused
	}
	return value, err
}

func (b *broker) tryGetValue(ctx context.Context, subject string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime) // without a deadline nats.go takes five seconds
	defer cancel()
	store, err := b.objects(ctx)
	if err != nil {
		return nil, err
	}
	object, err := store.Get(ctx, subject)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, errNoValue
	}
	if err != nil {
		return nil, err
	}
	defer object.Close()
	if err := b.isWhole(ctx, store, object); err != nil {
		return nil, err
	}
	value, err := io.ReadAll(io.LimitReader(object, int64(b.opts.MaxValue)+1))
	if err == nil {
		err = checkSize(value, b.opts.MaxValue)
	}
	return value, err
}

// isWhole looks whether all chunks of an object are there: whoever reads it would wait for the others. A crash may have left it behind
// half deleted.
func (b *broker) isWhole(ctx context.Context, store jetstream.ObjectStore, object jetstream.ObjectResult) error {
	info, err := object.Info()
	if err != nil {
		return err
	}
	stream, err := b.js.Stream(ctx, "OBJ_"+b.values())
	if err != nil {
		return err
	}
	chunks := b.chunks(info.NUID)
	state, err := stream.Info(ctx, jetstream.WithSubjectFilter(chunks))
	if err != nil || state.State.Subjects[chunks] >= uint64(info.Chunks) {
		return err
	}
	now, err := store.GetInfo(ctx, info.Name)
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound) || err == nil && now.NUID == info.NUID:
		return errNoValue
	case err == nil:
		return errReplaced
	}
	return err
}

// errReplaced says that a large value was stored again while it was looked at.
var errReplaced = errors.New("the large value is another one now")

// drop deletes a large value, if it is there. Where that fails, a sweep finds it.
func (b *broker) drop(subject string) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	if err := b.dropValue(ctx, subject); err != nil {
		b.opts.Logger.Debug("gipcnats: a large value is not deleted", "subject", subject, "error", err)
	}
}

// dropValue deletes a large value. The chunks go first: what is left behind by a crash is found by its name.
func (b *broker) dropValue(ctx context.Context, subject string) error {
	store, err := b.objects(ctx)
	if err != nil {
		return err
	}
	info, err := store.GetInfo(ctx, subject)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return b.dropObject(ctx, info)
}

func (b *broker) dropObject(ctx context.Context, info *jetstream.ObjectInfo) error {
	stream, err := b.js.Stream(ctx, "OBJ_"+b.values())
	if err != nil {
		return err
	}
	if err := b.dropChunks(ctx, stream, info); err != nil {
		return err
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(b.meta(info.Name)))
}

// dropChunks deletes an object's chunks, but not those of a task's that are its dead letter's as well: where a crash came in the middle
// of moveValue, both names stand for the same chunks.
func (b *broker) dropChunks(ctx context.Context, stream jetstream.Stream, info *jetstream.ObjectInfo) error {
	if task, ok := strings.CutPrefix(info.Name, b.subject("task", "")); ok {
		store, err := b.objects(ctx)
		if err != nil {
			return err
		}
		letter, err := store.GetInfo(ctx, b.subject("dead", task))
		if err == nil && letter.NUID == info.NUID || err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return err
		}
	}
	return stream.Purge(ctx, jetstream.WithPurgeSubject(b.chunks(info.NUID)))
}

func (b *broker) chunks(nuid string) string { return "$O." + b.values() + ".C." + nuid }

// meta is the subject of what describes an object.
func (b *broker) meta(name string) string {
	return "$O." + b.values() + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// moveValue makes a task's large value that of its dead letter. It may be called again, wherever a crash has ended it.
func (b *broker) moveValue(ctx context.Context, from, stream, to string) error {
	store, err := b.objects(ctx)
	if err != nil {
		return err
	}
	err = store.UpdateMeta(ctx, from, jetstream.ObjectMeta{Name: to, Headers: nats.Header{streamHeader: {stream}}})
	switch {
	case errors.Is(err, jetstream.ErrUpdateMetaDeleted): // it was moved before, or is gone
		return nil
	case errors.Is(err, jetstream.ErrObjectAlreadyExists): // it has both names
		return b.dropValue(ctx, from)
	}
	return err
}

// sweeping deletes now and then what crashes have left in the object store.
func (b *broker) sweeping(ctx context.Context) {
	for sleep(ctx, sweepEvery) == nil {
		if err := b.sweep(ctx, b.sweepAge); err != nil && ctx.Err() == nil {
			b.opts.Logger.Warn("gipcnats: the object store is not swept", "error", err)
		}
	}
}

// sweep deletes the values older than age whose messages are gone.
func (b *broker) sweep(ctx context.Context, age time.Duration) error {
	stream, err := b.js.Stream(ctx, "OBJ_"+b.values())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	now := stream.CachedInfo().TimeStamp // the server's clock, by which values are stored
	store, err := b.js.ObjectStore(ctx, b.values())
	if err != nil {
		return err
	}
	all, err := store.List(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		return err
	}
	known := map[string]bool{}
	for _, info := range all {
		known[b.chunks(info.NUID)] = true
		if now.Sub(info.ModTime) < age {
			continue
		}
		if err := b.sweepObject(ctx, info); err != nil {
			return err
		}
	}
	return b.sweepChunks(ctx, stream, known, now.Add(-age))
}

// sweepObject deletes an object whose message is gone, unless its sender renews it meanwhile.
func (b *broker) sweepObject(ctx context.Context, info *jetstream.ObjectInfo) error {
	if !strings.HasPrefix(info.Name, b.prefix+".") {
		return nil // somebody else's
	}
	objects, err := b.js.Stream(ctx, "OBJ_"+b.values())
	if err != nil {
		return err
	}
	meta, err := latest(ctx, objects, b.meta(info.Name))
	if err != nil || meta == nil || !meta.Time.Equal(info.ModTime) {
		return err
	}
	if has, err := b.hasMessage(ctx, info); err != nil || has {
		return err
	}
	err = objects.Purge(ctx, jetstream.WithPurgeSubject(meta.Subject), jetstream.WithPurgeSequence(meta.Sequence+1))
	if err != nil {
		return err
	}
	left, err := objects.Info(ctx, jetstream.WithSubjectFilter(meta.Subject))
	if err != nil || len(left.State.Subjects) > 0 {
		return err
	}
	return b.dropChunks(ctx, objects, info)
}

// hasMessage says whether the message is stored that an object belongs to. Of streams that others sweep, it has: this program may not be
// allowed to look.
func (b *broker) hasMessage(ctx context.Context, info *jetstream.ObjectInfo) (bool, error) {
	stream, err := b.js.Stream(ctx, info.Headers.Get(streamHeader))
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrStreamNameRequired) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(b.sweeps) > 0 && !slices.Contains(b.sweeps, stream.CachedInfo().Config.Name) {
		return true, nil
	}
	m, err := latest(ctx, stream, info.Name)
	return m != nil, err
}

// sweepChunks deletes the chunks of objects whose storing was never finished, and was given up before that time.
func (b *broker) sweepChunks(ctx context.Context, stream jetstream.Stream, known map[string]bool, before time.Time) error {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(b.chunks(">")))
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		if known[subject] {
			continue
		}
		last, err := latest(ctx, stream, subject)
		if err != nil {
			return err
		}
		if last != nil && !last.Time.After(before) {
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return err
			}
		}
	}
	return nil
}
