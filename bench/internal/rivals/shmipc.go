package rivals

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/cloudwego/shmipc-go"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// shmipcRival sends messages through shared memory, by one stream for each goroutine.
type shmipcRival struct{}

const (
	shmipcName  = "shmipc-go"
	shmipcQuiet = 5 // above every level
)

func init() {
	shmipc.SetLogLevel(shmipcQuiet)
	work.RegisterChild(shmipcName, func(w work.Workload, in, out *os.File) error {
		return serveSocket(in, out, func(l net.Listener) error { return serveShmipc(w, l) })
	})
}

func serveShmipc(w work.Workload, l net.Listener) error {
	conn, err := l.Accept()
	if err != nil {
		return err
	}
	config := shmipc.DefaultConfig()
	config.LogOutput = io.Discard
	session, err := shmipc.Server(conn, config)
	if err != nil {
		return err
	}
	defer session.Close()
	for {
		stream, err := session.AcceptStream()
		if session.IsClosed() { // the parent is done
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			c := newShmConn(w, stream)
			c.grants = w.Kind == work.Stream
			if err := work.Serve(w, c, work.RawShape(w.Size)); err != io.EOF {
				fmt.Fprintln(os.Stderr, "shmipc-go's child:", err)
			}
		}()
	}
}

func (shmipcRival) Name() string    { return shmipcName }
func (shmipcRival) About() string   { return "shared memory with default options, a flush a message" }
func (shmipcRival) Version() string { return work.Version("github.com/cloudwego/shmipc-go") }

func (shmipcRival) Open(w work.Workload) (work.Session, error) {
	if w.Kind != work.Stream && w.Kind != work.Echo {
		return nil, work.ErrNotOffered
	}
	child, err := startSocketChild(shmipcName, w)
	if err != nil {
		return nil, err
	}
	config := shmipc.DefaultSessionManagerConfig()
	config.LogOutput = io.Discard
	config.Network, config.Address = "unix", child.path
	prefix := filepath.Join("/dev/shm", "gipc-bench-"+filepath.Base(filepath.Dir(child.path)))
	config.ShareMemoryPathPrefix, config.QueuePath = prefix, prefix+"_queue"
	manager, err := shmipc.NewSessionManager(config)
	if err != nil {
		return nil, errors.Join(err, child.Close())
	}
	closeAll := func() error { return errors.Join(manager.Close(), child.Close()) }
	s, err := perSender(w, func(w work.Workload) (work.Session, error) {
		stream, err := manager.GetStream()
		if err != nil {
			return nil, err
		}
		c := newShmConn(w, stream)
		c.needsGrants = w.Kind == work.Stream
		return work.NewSession(w, c, work.RawShape(w.Size)), nil
	})
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return work.Closing(s, closeAll), nil
}

// shmConn is a Conn of messages behind four bytes of length.
//
// shmipc-go has no backpressure: who sends more than the shared memory holds falls back to the socket for good. So in a stream
// the receiver grants messages, some at a time.
type shmConn struct {
	stream              *shmipc.Stream
	grants, needsGrants bool
	batch               int // messages of a grant
	left                int // that may be sent before the next grant
	received            int // since the last grant
}

const grant = 1 << 31 // as a length

// newShmConn lets messages of 2 MiB be under way on a stream, and 512 of them. A message takes 8 KiB of memory at least.
func newShmConn(w work.Workload, stream *shmipc.Stream) *shmConn {
	batch := max(1, min(64, 1<<20/max(w.Size, 1)))
	return &shmConn{stream: stream, batch: batch, left: 2 * batch}
}

func (c *shmConn) Send(v []byte) error {
	for c.needsGrants && c.left == 0 {
		if n, err := c.length(); err != nil {
			return err
		} else if n != grant {
			return fmt.Errorf("shmipc: a message of %d bytes in place of a grant", n)
		}
	}
	c.left--
	return c.write(uint32(len(v)), v)
}

func (c *shmConn) write(length uint32, payload []byte) error {
	var header [4]byte
	binary.BigEndian.PutUint32(header[:], length)
	w := c.stream.BufferWriter()
	if _, err := w.WriteBytes(header[:]); err != nil {
		return err
	}
	if _, err := w.WriteBytes(payload); err != nil {
		return err
	}
	return c.stream.Flush(false)
}

// length reads the length of the next message. It counts a grant.
func (c *shmConn) length() (uint32, error) {
	b, err := c.stream.BufferReader().ReadBytes(4)
	if errors.Is(err, shmipc.ErrEndOfStream) || errors.Is(err, shmipc.ErrStreamClosed) {
		return 0, io.EOF
	}
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(b)
	if n == grant {
		c.left += c.batch
		c.stream.BufferReader().ReleasePreviousRead()
	}
	return n, nil
}

func (c *shmConn) Recv(v *[]byte) error {
	n, err := c.length()
	for err == nil && n == grant {
		n, err = c.length()
	}
	if err != nil {
		return err
	}
	r := c.stream.BufferReader()
	b, err := r.ReadBytes(int(n))
	if err != nil {
		return err
	}
	*v = append((*v)[:0], b...)
	r.ReleasePreviousRead()
	return c.grant()
}

// grant lets the sender go on, each time that a batch has been received.
func (c *shmConn) grant() error {
	if c.received++; !c.grants || c.received < c.batch {
		return nil
	}
	c.received = 0
	return c.write(grant, nil)
}

func (c *shmConn) Close() error { return c.stream.Close() }
