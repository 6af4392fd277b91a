package gipcnats

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

const benchWorkers = 2 // and as many tasks at once in each as make the queue the bottleneck

const perRound = 1024 // tasks

// BenchmarkTasks is what docs/nats.md has figures of: an empty task through a Client, a Serve and a worker process, beside
// nats.go's request and reply, and beside a work queue written by hand, whose results go through a stream as well. The pool runs
// its tasks once in worker processes, and once in this one, where the by-hand queue's are. In each
// round all of them have their turn, so that what else the machine does concerns all. It reports medians of the rounds, and
// of the ratios within a round, and how long the middle one of all calls took, and all but one in a hundred.
func BenchmarkTasks(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint(callers, " callers"), func(b *testing.B) {
			rivals := []func() error{bareRequest(b), bareQueue(b), gipcTask(b, false), gipcTask(b, true)}
			rates, times := make([][]float64, len(rivals)), make([][]float64, len(rivals))
			var ofQueue, ofQueueInProcess []float64
			for _, do := range rivals {
				round(b, callers, do, nil) // the first time is another one
			}
			for range b.N {
				for i, do := range rivals {
					rates[i] = append(rates[i], round(b, callers, do, &times[i]))
				}
				n := len(ofQueue)
				ofQueue = append(ofQueue, rates[2][n]/rates[1][n])
				ofQueueInProcess = append(ofQueueInProcess, rates[3][n]/rates[1][n])
			}
			for i, name := range []string{"request/s", "queue/s", "gipcnats/s", "in-process/s"} {
				b.ReportMetric(median(rates[i]), name)
			}
			for i, name := range []string{"request", "queue", "gipcnats", "in-process"} {
				b.ReportMetric(median(times[i]), name+"-p50-ms")
				b.ReportMetric(times[i][len(times[i])*99/100], name+"-p99-ms")
			}
			b.ReportMetric(median(ofQueue), "gipcnats/queue")
			b.ReportMetric(median(ofQueueInProcess), "in-process/queue")
		})
	}
}

func median(of []float64) float64 {
	slices.Sort(of)
	return of[len(of)/2]
}

// round returns how often a second so many goroutines did it, and appends how long each took, in ms, to times.
func round(b *testing.B, callers int, do func() error, times *[]float64) float64 {
	took := make([]float64, perRound)
	start := time.Now()
	var group sync.WaitGroup
	for c := range callers {
		group.Go(func() {
			for i := c; i < perRound; i += callers {
				began := time.Now()
				if err := do(); err != nil {
					b.Error(err)
				}
				took[i] = float64(time.Since(began)) / float64(time.Millisecond)
			}
		})
	}
	group.Wait()
	if times != nil {
		*times = append(*times, took...)
	}
	return perRound / time.Since(start).Seconds()
}

func gipcTask(b *testing.B, inProcess bool) func() error {
	url := startServer(b).url()
	serving(b, url, nil, &pool.Options{Max: benchWorkers, PerWorker: 32, InProcess: inProcess})
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
