package gipcnats

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A value that is too large for a message is an object. Its name is the subject of the message that stands for it, and a header
// names that message's stream. So whoever sweeps can tell which objects nobody will ask for: those whose message is gone.

const (
	streamHeader = "Gipc-Stream"
	chunkSize    = 512 << 10        // bytes, if the server's limit allows
	fetchTime    = 2 * time.Minute  // for one try
	sweepAge     = 10 * time.Minute // an object is stored before its message is: younger ones stay
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
	value, err := io.ReadAll(io.LimitReader(object, int64(b.opts.MaxValue)+1))
	if err == nil && len(value) > b.opts.MaxValue {
		err = &gipc.TooLargeError{Size: uint64(len(value)), Limit: b.opts.MaxValue}
	}
	return value, err
}

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
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(b.chunks(info.NUID))); err != nil {
		return err
	}
	name := base64.URLEncoding.EncodeToString([]byte(info.Name))
	return stream.Purge(ctx, jetstream.WithPurgeSubject("$O."+b.values()+".M."+name))
}

func (b *broker) chunks(nuid string) string { return "$O." + b.values() + ".C." + nuid }

// moveValue makes a large value that of another message.
func (b *broker) moveValue(ctx context.Context, from, stream, to string) error {
	store, err := b.objects(ctx)
	if err != nil {
		return err
	}
	return store.UpdateMeta(ctx, from, jetstream.ObjectMeta{Name: to, Headers: nats.Header{streamHeader: {stream}}})
}

// sweeping deletes now and then what crashes have left in the object store.
func (b *broker) sweeping(ctx context.Context) {
	for sleep(ctx, sweepEvery) == nil {
		if err := b.sweep(ctx, sweepAge); err != nil && ctx.Err() == nil {
			b.opts.Logger.Warn("gipcnats: the object store is not swept", "error", err)
		}
	}
}

// sweep deletes the values older than age whose messages are gone.
func (b *broker) sweep(ctx context.Context, age time.Duration) error {
	store, err := b.js.ObjectStore(ctx, b.values())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil
	}
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
		if time.Since(info.ModTime) < age {
			continue
		}
		if err := b.sweepObject(ctx, info); err != nil {
			return err
		}
	}
	return b.sweepChunks(ctx, known, age)
}

// sweepObject deletes an object whose message is gone.
func (b *broker) sweepObject(ctx context.Context, info *jetstream.ObjectInfo) error {
	if !strings.HasPrefix(info.Name, b.prefix+".") {
		return nil // somebody else's
	}
	stream, err := b.js.Stream(ctx, info.Headers.Get(streamHeader))
	if err == nil {
		var m *jetstream.RawStreamMsg
		if m, err = latest(ctx, stream, info.Name); m != nil {
			return nil
		}
	}
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) && !errors.Is(err, jetstream.ErrStreamNameRequired) {
		return err
	}
	return b.dropObject(ctx, info)
}

// sweepChunks deletes the chunks of objects whose storing was never finished.
func (b *broker) sweepChunks(ctx context.Context, known map[string]bool, age time.Duration) error {
	stream, err := b.js.Stream(ctx, "OBJ_"+b.values())
	if err != nil {
		return err
	}
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
		if last != nil && time.Since(last.Time) >= age {
			if err := stream.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return err
			}
		}
	}
	return nil
}
