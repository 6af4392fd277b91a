package gipc_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/go-gipc/gipc"
)

// The examples in this file are those of docs/python.md.

var greet = gipc.Register("python greet", func(ctx context.Context, reader *gipc.Reader[string]) error {
	name, err := reader.Get(ctx)
	if err != nil {
		return err
	}
	if name != "world" {
		return fmt.Errorf("%q is not the world", name)
	}
	return nil
})

func Example_pythonStartProcess() {
	ctx := context.Background()
	r, w, err := gipc.Pipe[string](nil)
	if err != nil {
		log.Fatal(err)
	}
	p, err := gipc.Spawn(ctx, greet, r, nil) // r is closed here now
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Put(ctx, "world"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Wait(ctx))
	fmt.Println(p.ExitCode())
	// Output:
	// <nil>
	// 0 true
}

func Example_pythonTimeout() {
	r, w, err := gipc.Pipe[string](nil)
	if err != nil {
		log.Fatal(err)
	}
	defer w.CloseNow()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = r.Get(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Println("nothing came in time")
	}
	// Output: nothing came in time
}

// maxInflated bounds what a hostile message can cost: a few bytes of zlib can stand for gigabytes.
const maxInflated = 1 << 20

var compressed = gipc.CodecFunc("python zlib",
	func(dst []byte, v []byte) ([]byte, error) {
		buffer := bytes.NewBuffer(dst)
		z := zlib.NewWriter(buffer)
		if _, err := z.Write(v); err != nil {
			return nil, err
		}
		err := z.Close()
		return buffer.Bytes(), err
	},
	func(src []byte, v *[]byte) error {
		z, err := zlib.NewReader(bytes.NewReader(src))
		if err != nil {
			return err
		}
		*v, err = io.ReadAll(io.LimitReader(z, maxInflated+1))
		if err == nil && len(*v) > maxInflated {
			err = errors.New("too large when it is inflated")
		}
		return err
	})

func init() { gipc.RegisterCodec(compressed) }

func Example_pythonEncoder() {
	ctx := context.Background()
	r, w, err := gipc.Pipe(&gipc.Options[[]byte]{Codec: compressed})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Put(ctx, bytes.Repeat([]byte("spam "), 1000)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(w.Stats().BytesSent < 100)
	message, err := r.Get(ctx)
	fmt.Println(len(message), err)
	// Output:
	// true
	// 5000 <nil>
}

func Example_pythonRawBytes() {
	ctx := context.Background()
	r, w, err := gipc.Pipe(&gipc.Options[[]byte]{Codec: gipc.Raw{}})
	if err != nil {
		log.Fatal(err)
	}
	if err := w.Put(ctx, []byte{0, 1, 2}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(r.Get(ctx))
	// Output: [0 1 2] <nil>
}
