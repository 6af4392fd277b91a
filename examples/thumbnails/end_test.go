package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

func TestQueueFull(t *testing.T) {
	s := start(t, oneAtATime(1))
	hold, running := s.begin(t, test.Context(t), "wait")
	waiting := test.Started(func() answer { return s.post(t, encoded(t, "gif", halves(640, 320))) })
	test.Eventually(t, "one waits", func() bool { return s.pool.Stats().Waiting == 1 })
	wantRefused(t, s.post(t, encoded(t, "png", halves(640, 320))), http.StatusServiceUnavailable, "too busy")
	test.Check(t, os.Remove(hold))
	wantThumbnail(t, <-running)
	wantThumbnail(t, <-waiting)
	s.wantWorks(t)
}

// A client that leaves takes its image with it. The worker goes on if the decoder ends.
func TestClientLeaves(t *testing.T) {
	for _, c := range []struct {
		deed   string
		killed uint64
	}{{"read on", 0}, {"hang", 1}} {
		t.Run(c.deed, func(t *testing.T) {
			tasks := make(chan pool.TaskInfo, 2)
			s := start(t, func(o *pool.Options) {
				oneAtATime(1)(o)
				o.OnTask = func(i pool.TaskInfo) { tasks <- i }
				if c.killed == 0 {
					o.Grace = test.Patience
				}
			})
			ctx, leave := context.WithCancel(test.Context(t))
			_, left := s.begin(t, ctx, c.deed)
			leave()
			test.Is(t, (<-left).err, context.Canceled)
			test.Is(t, (<-tasks).Err, context.Canceled)
			s.wantWorks(t)
			test.Equal(t, s.pool.Stats().Replaced, c.killed)
			test.Equal(t, s.pool.Stats().Lost, 0)
		})
	}
}

func TestClientLeavesTheQueue(t *testing.T) {
	s := start(t, oneAtATime(1))
	hold, running := s.begin(t, test.Context(t), "wait")
	ctx, leave := context.WithCancel(test.Context(t))
	left := test.Started(func() answer { return post(ctx, s.addr, trouble("panic", "")) })
	test.Eventually(t, "one waits", func() bool { return s.pool.Stats().Waiting == 1 })
	leave()
	test.Is(t, (<-left).err, context.Canceled)
	test.Eventually(t, "none waits", func() bool { return s.pool.Stats().Waiting == 0 })
	test.Check(t, os.Remove(hold))
	wantThumbnail(t, <-running)
	s.wantWorks(t)
	test.Equal(t, s.pool.Stats().Lost, 0)
}

// An upload that ends early is no task.
func TestUploadEndsEarly(t *testing.T) {
	s := start(t, nil)
	conn, err := net.Dial("tcp", s.addr)
	test.Check(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("POST /thumbnail HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n" + magic))
	test.Check(t, err)
	test.Check(t, conn.(*net.TCPConn).CloseWrite())
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	wantRefused(t, read(response, err), http.StatusBadRequest, "the upload did not arrive")
	stats := s.pool.Stats()
	test.Equal(t, stats.Done+stats.Failed, 0)
}

// At its end the service takes no more requests, and answers those that it has.
func TestDrain(t *testing.T) {
	s := start(t, oneAtATime(1))
	hold, running := s.begin(t, test.Context(t), "wait")
	waiting := test.Started(func() answer { return s.post(t, encoded(t, "gif", halves(640, 320))) })
	test.Eventually(t, "one waits", func() bool { return s.pool.Stats().Waiting == 1 })
	s.stop()
	test.Eventually(t, "no more requests are taken", func() bool { return s.post(t, nil).err != nil })
	select {
	case err := <-s.end:
		t.Fatal("it ended with requests under way", err)
	default:
	}
	test.Check(t, os.Remove(hold))
	wantThumbnail(t, <-running)
	wantThumbnail(t, <-waiting)
	test.Check(t, <-s.end)
	test.Equal(t, s.pool.Stats().Workers, 0)
}

// A listener that fails ends the service and its workers.
func TestListenerFails(t *testing.T) {
	s, err := newService(options())
	test.Check(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	test.Check(t, err)
	test.Check(t, listener.Close())
	test.Is(t, s.serve(context.Background(), listener), net.ErrClosed)
	test.Equal(t, s.pool.Stats().Workers, 0)
}

func TestAddressInUse(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	test.Check(t, err)
	defer listener.Close()
	err = listenAndServe(test.Context(t), listener.Addr().String())
	var refused *net.OpError
	if !errors.As(err, &refused) {
		t.Fatal(err)
	}
}

// Who comes while no worker can be started is to come again.
func TestWorkersCantStart(t *testing.T) {
	opts := options()
	opts.Min, opts.Spawn.Dir = -1, t.TempDir()+"/missing"
	s, err := newService(opts)
	test.Check(t, err)
	defer func() { test.Check(t, s.pool.Close()) }()
	w := httptest.NewRecorder()
	s.post(w, httptest.NewRequest(http.MethodPost, "/thumbnail", bytes.NewReader(encoded(t, "png", halves(2, 2)))))
	wantRefused(t, read(w.Result(), nil), http.StatusServiceUnavailable, "too busy")
}
