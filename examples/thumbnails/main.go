// Thumbnails is an HTTP service that makes thumbnails of PNG, JPEG and GIF images that strangers upload. It decodes them in a
// pool of worker processes. An image that crashes a decoder, would need gigabytes or takes too long costs its own request a
// 422, and the service nothing.
//
//	go run ./examples/thumbnails
//	curl --data-binary @photo.jpg localhost:8080/thumbnail >thumbnail.png
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	_ "image/gif" // so that image.Decode knows it
	_ "image/jpeg"
	"image/png"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/pool"
)

const (
	side      = 256              // pixels, of a thumbnail
	maxSide   = 8192             // pixels, of an image
	maxUpload = 16 << 20         // bytes, which a request holds in this process
	maxMemory = 2 << 30          // bytes, for a worker: some JPEGs take 20 for each pixel
	patience  = 30 * time.Second // with clients that send or receive slowly, and with requests when the service ends
)

// thumbnail runs in the workers. Its config is the memory that a worker should get along with.
var thumbnail = pool.RegisterWith("thumbnail", func(_ context.Context, memory int64) (func(context.Context, []byte) ([]byte, error), error) {
	debug.SetMemoryLimit(memory) // the heap doesn't grow beyond it for the garbage of earlier images
	return makeThumbnail, nil
})

// makeThumbnail returns a PNG with at most side × side pixels, of the first frame if there are several. It refuses a
// decompression bomb before it decodes it: each format has the image's size in its header.
func makeThumbnail(ctx context.Context, upload []byte) ([]byte, error) {
	config, _, err := image.DecodeConfig(bytes.NewReader(upload))
	if err != nil {
		return nil, err
	}
	if config.Width > maxSide || config.Height > maxSide {
		return nil, fmt.Errorf("the image has %d × %d pixels, the limit is %d × %d", config.Width, config.Height, maxSide, maxSide)
	}
	full, _, err := image.Decode(&reader{ctx, bytes.NewReader(upload)})
	if err != nil {
		return nil, err
	}
	if full.Bounds().Empty() {
		return nil, errors.New("the image has no pixels")
	}
	var thumb bytes.Buffer
	err = png.Encode(&thumb, shrink(full))
	return thumb.Bytes(), err
}

// reader ends a decoder that nobody waits for any more. One that doesn't read costs its worker.
type reader struct {
	ctx    context.Context
	upload io.Reader
}

func (r *reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.upload.Read(b)
}

// shrink makes the longer side as long as a thumbnail's, if it is longer. Each pixel is the mean of 16 in its place.
func shrink(full image.Image) image.Image {
	const n = 4 // 4 × 4
	b := full.Bounds()
	long := max(b.Dx(), b.Dy(), side)
	width, height := max(b.Dx()*side/long, 1), max(b.Dy()*side/long, 1)
	thumb := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		var red, green, blue, alpha uint32
		for j := range n * n {
			x, y := i%width*n+j%n, i/width*n+j/n
			r, g, b, a := full.At(b.Min.X+x*b.Dx()/(width*n), b.Min.Y+y*b.Dy()/(height*n)).RGBA()
			red, green, blue, alpha = red+r, green+g, blue+b, alpha+a
		}
		mean := func(sum uint32) uint8 { return uint8(sum / (n * n) >> 8) }
		thumb.SetRGBA(i%width, i/width, color.RGBA{mean(red), mean(green), mean(blue), mean(alpha)})
	}
	return thumb
}

func options() *pool.Options {
	return &pool.Options{
		Queue:     64,
		Timeout:   10 * time.Second,
		Retries:   1,             // a worker can also die through no fault of its image
		MaxMemory: maxMemory / 8, // a worker that still holds so much after an image is replaced
		Spawn:     &gipc.SpawnOptions{Name: "thumbnails", Limits: &gipc.Limits{Memory: maxMemory, NoCore: true}},
		Logger:    slog.Default(),
	}
}

type service struct {
	pool *pool.Pool[[]byte, []byte]
}

func newService(opts *pool.Options) (*service, error) {
	task := thumbnail.With(maxMemory)
	p, err := pool.New(task, opts)
	if errors.Is(err, errors.ErrUnsupported) { // only Linux tells how much memory a worker has, and holds both limits
		portable, spawn := *opts, *opts.Spawn
		spawn.Limits = nil
		portable.MaxMemory, portable.Spawn = 0, &spawn
		p, err = pool.New(task, &portable)
	}
	return &service{p}, err
}

// post answers an image with its thumbnail, a PNG.
func (s *service) post(w http.ResponseWriter, r *http.Request) {
	client := http.NewResponseController(w)
	_ = client.SetReadDeadline(time.Now().Add(patience)) // a network connection can do that
	upload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUpload))
	_ = client.SetReadDeadline(time.Time{}) // else it would end the request's ctx
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the upload is larger than 16 MiB", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the upload did not arrive", http.StatusBadRequest)
		return
	}
	png, err := s.pool.Do(r.Context(), upload)
	if r.Context().Err() != nil {
		return // the client has left, and its task is cancelled
	}
	_ = client.SetWriteDeadline(time.Now().Add(patience))
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "image/png")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(png) // a client that has left hears nothing
}

// refuse answers why there is no thumbnail.
func refuse(w http.ResponseWriter, err error) {
	slog.Info("no thumbnail", "err", err)
	var failed *pool.TaskError
	var died *pool.WorkerError
	switch {
	case errors.As(err, &failed):
		http.Error(w, failed.Err.Error(), http.StatusUnprocessableEntity)
	case errors.As(err, &died) && died.Exit.Limit == "memory":
		http.Error(w, "the image takes too much memory to decode", http.StatusUnprocessableEntity)
	case errors.As(err, &died):
		http.Error(w, "the image ended the process that decoded it", http.StatusUnprocessableEntity)
	case errors.Is(err, pool.ErrTimeout):
		http.Error(w, "the image takes too long to decode", http.StatusUnprocessableEntity)
	default: // the queue is full, or no worker can be started
		w.Header().Set("Retry-After", "5") // seconds
		http.Error(w, "too busy", http.StatusServiceUnavailable)
	}
}

// serve serves until ctx ends. Then it finishes the requests that it has.
func (s *service) serve(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /thumbnail", s.post)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: patience, IdleTimeout: patience}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return errors.Join(err, s.pool.Close())
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	return errors.Join(server.Shutdown(ctx), s.pool.Drain(ctx), s.pool.Close())
}

func listenAndServe(ctx context.Context, addr string) error {
	s, err := newService(options())
	if err != nil {
		return err
	}
	if err := s.pool.WaitReady(ctx); err != nil {
		return errors.Join(err, s.pool.Close())
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return errors.Join(err, s.pool.Close())
	}
	slog.Info("listening", "addr", listener.Addr().String())
	return s.serve(ctx, listener)
}

func main() {
	gipc.Init() // in a worker: makes thumbnails, and never returns
	addr := flag.String("addr", "localhost:8080", "where to listen")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := listenAndServe(ctx, *addr); err != nil {
		slog.Error("thumbnails", "err", err)
		os.Exit(1)
	}
}
