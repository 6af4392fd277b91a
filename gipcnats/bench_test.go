package gipcnats

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const benchWorkers = 2 // and as many tasks at once in each as make the queue the bottleneck

// BenchmarkTasks is what docs/nats.md has figures of: an empty task through a Client, a Serve and a worker process, beside
// nats.go's request and reply, and beside a work queue written by hand, whose results go through a stream as well. All
// of them alternate in one run.
func BenchmarkTasks(b *testing.B) {
	for _, callers := range []int{1, 64} {
		name := map[int]string{1: "one caller", 64: "64 callers"}[callers]
		b.Run(name+"/request", func(b *testing.B) { benchmark(b, callers, bareRequest(b)) })
		b.Run(name+"/queue", func(b *testing.B) { benchmark(b, callers, bareQueue(b)) })
		b.Run(name+"/gipcnats", func(b *testing.B) { benchmark(b, callers, gipcTask(b)) })
	}
}

// benchmark has so many goroutines call do, b.N times together.
func benchmark(b *testing.B, callers int, do func() error) {
	test.Check(b, do())
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.ResetTimer()
	start := time.Now()
	if callers == 1 {
		for range b.N {
			test.Check(b, do())
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				test.Check(b, do())
			}
		})
	}
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "tasks/s")
}

func gipcTask(b *testing.B) func() error {
	url := startServer(b).url()
	serving(b, url, nil, &pool.Options{Max: benchWorkers, PerWorker: 32})
	c := clientOf(b, url, nil)
	return func() error {
		_, err := c.Do(context.Background(), deed{N: 1})
		return err
	}
}

func bareRequest(b *testing.B) func() error {
	url := startServer(b).url()
	_, err := connect(b, url).Subscribe("work", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	test.Check(b, err)
	nc := connect(b, url)
	return func() error {
		_, err := nc.Request("work", make([]byte, 64), test.Patience)
		return err
	}
}

// bareQueue is a work queue as one writes it with nats.go: the task is published and stored, a worker pulls it, its result is
// published and stored, then the task is acknowledged.
func bareQueue(b *testing.B) func() error {
	url := startServer(b).url()
	ctx := context.Background()
	there, err := jetstream.New(connect(b, url))
	test.Check(b, err)
	for _, name := range []string{"tasks", "results"} {
		_, err = there.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name + ".>"}, Retention: jetstream.WorkQueuePolicy})
		test.Check(b, err)
	}
	slots := make(chan struct{}, 64)
	consume(b, there, "tasks", func(m jetstream.Msg) {
		slots <- struct{}{}
		go func() {
			defer func() { <-slots }()
			if _, err := there.Publish(ctx, "results.x", m.Data()); err == nil {
				_ = m.Ack()
			}
		}()
	})
	here, err := jetstream.New(connect(b, url))
	test.Check(b, err)
	var mu sync.Mutex
	var number uint64
	waiting := map[uint64]chan struct{}{}
	consume(b, here, "results", func(m jetstream.Msg) {
		mu.Lock()
		close(waiting[binary.BigEndian.Uint64(m.Data())])
		mu.Unlock()
		_ = m.Ack()
	})
	return func() error {
		done := make(chan struct{})
		mu.Lock()
		number++
		n := number
		waiting[n] = done
		mu.Unlock()
		data := binary.BigEndian.AppendUint64(make([]byte, 0, 64), n)[:64]
		if _, err := here.Publish(ctx, "tasks.x", data); err != nil {
			return err
		}
		<-done
		mu.Lock()
		delete(waiting, n)
		mu.Unlock()
		return nil
	}
}

func consume(b *testing.B, js jetstream.JetStream, stream string, take func(jetstream.Msg)) {
	consumer, err := js.CreateConsumer(context.Background(), stream, jetstream.ConsumerConfig{Durable: "x", AckPolicy: jetstream.AckExplicitPolicy})
	test.Check(b, err)
	consuming, err := consumer.Consume(take)
	test.Check(b, err)
	b.Cleanup(consuming.Stop)
}
