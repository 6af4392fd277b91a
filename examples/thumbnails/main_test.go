package main

import (
	"bytes"
	"context"
	"image"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
	"github.com/go-gipc/gipc/pool"
)

// asProgram in the environment makes the test binary the program itself: it, and its workers, run main.
const asProgram = "THUMBNAILS_TEST_RUNS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		os.Exit(0)
	}
	gipc.Init()
	os.Exit(m.Run())
}

// running is a service under test.
type running struct {
	*service
	addr string
	stop func()       // as SIGTERM does
	end  <-chan error // gets what serve returns
}

// start starts a service with options that change has changed. It ends with the test.
func start(t *testing.T, change func(*pool.Options)) *running {
	t.Helper()
	test.Bounded(t)
	opts := options()
	opts.Max, opts.Timeout, opts.Grace = 2, test.Patience, 50*time.Millisecond
	opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	if change != nil {
		change(opts)
	}
	s, err := newService(opts)
	test.Check(t, err)
	t.Cleanup(func() { test.Check(t, s.pool.Close()) })
	test.Check(t, s.pool.WaitReady(test.Context(t)))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	test.Check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	return &running{
		service: s,
		addr:    listener.Addr().String(),
		stop:    stop,
		end:     test.Started(func() error { return s.serve(ctx, listener) }),
	}
}

// oneAtATime is for start: so many images may wait.
func oneAtATime(queue int) func(*pool.Options) {
	return func(o *pool.Options) { o.Max, o.Queue = 1, queue }
}

// answer is what became of a request.
type answer struct {
	status     int
	retryAfter string
	body       []byte
	err        error
}

// client has a connection for each request: one that is kept might be closed just when it is used again.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: test.Patience}

func post(ctx context.Context, addr string, upload []byte) answer {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/thumbnail", bytes.NewReader(upload))
	if err != nil {
		return answer{err: err}
	}
	return read(client.Do(request))
}

// read takes the results of a request.
func read(response *http.Response, err error) (a answer) {
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	a.status, a.retryAfter = response.StatusCode, response.Header.Get("Retry-After")
	a.body, a.err = io.ReadAll(response.Body)
	return a
}

func (r *running) post(t *testing.T, upload []byte) answer {
	t.Helper()
	return post(test.Context(t), r.addr, upload)
}

// begin posts an image that makes a deed of its decoder, and returns when it is being decoded.
func (r *running) begin(t *testing.T, ctx context.Context, deed string) (path string, result <-chan answer) {
	t.Helper()
	path = t.TempDir() + "/decoding"
	result = test.Started(func() answer { return post(ctx, r.addr, trouble(deed, path)) })
	test.Eventually(t, "it is being decoded", func() bool {
		pid, _ := os.ReadFile(path)
		return len(pid) > 0
	})
	return path, result
}

// worker returns the process that decodes the image of begin.
func worker(t *testing.T, path string) *os.Process {
	t.Helper()
	pid, err := os.ReadFile(path)
	test.Check(t, err)
	n, err := strconv.Atoi(string(pid))
	test.Check(t, err)
	process, err := os.FindProcess(n)
	test.Check(t, err)
	return process
}

// wantThumbnail returns the thumbnail in an answer.
func wantThumbnail(t *testing.T, a answer) image.Image {
	t.Helper()
	test.Check(t, a.err)
	if a.status != http.StatusOK {
		t.Fatalf("status %d: %.200q", a.status, a.body)
	}
	thumb, format, err := image.Decode(bytes.NewReader(a.body))
	test.Check(t, err)
	test.Equal(t, format, "png")
	return thumb
}

// wantRefused wants an answer that says why there is no thumbnail.
func wantRefused(t *testing.T, a answer, status int, reason string) {
	t.Helper()
	test.Check(t, a.err)
	if a.status != status || string(a.body) != reason+"\n" {
		t.Fatalf("status %d: %.200q, want %d: %q", a.status, a.body, status, reason)
	}
	test.Equal(t, a.retryAfter != "", status == http.StatusServiceUnavailable)
}

// wantWorks wants that the service makes thumbnails still.
func (r *running) wantWorks(t *testing.T) {
	t.Helper()
	wantThumbnail(t, r.post(t, encoded(t, "png", halves(640, 320))))
}
