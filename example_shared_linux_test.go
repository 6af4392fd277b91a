package gipc_test

import (
	"context"
	"fmt"
	"log"

	"github.com/go-gipc/gipc"
)

// This example is in docs/shared.md, too.

func Example_sharedMemory() {
	ctx := context.Background()
	frames, out, err := gipc.Pipe(&gipc.Options[[]byte]{Codec: gipc.Raw{}, Shared: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	if err := out.Put(ctx, make([]byte, 64<<10)); err != nil { // one copy into the memory, and no system call
		log.Fatal(err)
	}
	var frame []byte
	if err := frames.GetInto(ctx, &frame); err != nil { // one copy out of it
		log.Fatal(err)
	}
	fmt.Println(len(frame), "bytes")
	// Output: 65536 bytes
}
