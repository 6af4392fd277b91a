package rivals

import (
	"io"
	"net/rpc"
	"os"
	"time"

	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// netRPC makes a call of each message. In a stream up to window calls are under way.
type netRPC struct{}

const (
	netRPCName = "net/rpc"
	window     = 128
)

// rpcService answers calls.
type rpcService struct{}

// Echo answers with what it got.
func (rpcService) Echo(in []byte, out *[]byte) error {
	*out = in
	return nil
}

// Bytes answers that it has got a message.
func (rpcService) Bytes([]byte, *struct{}) error { return nil }

// Record answers that it has got a record.
func (rpcService) Record(record.Record, *struct{}) error { return nil }

func init() {
	work.RegisterChild(netRPCName, func(_ work.Workload, in, out *os.File) error {
		s := rpc.NewServer()
		if err := s.RegisterName("Bench", rpcService{}); err != nil {
			return err
		}
		s.ServeConn(duplexFile{in, out})
		return nil
	})
}

// duplexFile is one stream of two pipes.
type duplexFile struct {
	io.ReadCloser
	out *os.File
}

func (d duplexFile) Write(p []byte) (int, error) { return d.out.Write(p) }
func (d duplexFile) Close() error                { return d.out.Close() }

func (netRPC) Name() string    { return netRPCName }
func (netRPC) About() string   { return "a call a message over pipes, 128 under way in a stream" }
func (netRPC) Version() string { return work.Version("") }

func (netRPC) Open(w work.Workload) (work.Session, error) {
	if w.Codecs || w.Kind != work.Stream && w.Kind != work.Echo && w.Kind != work.Struct {
		return nil, work.ErrNotOffered
	}
	child, err := work.StartChild(netRPCName, w)
	if err != nil {
		return nil, err
	}
	client := rpc.NewClient(duplexFile{child.In, child.Out})
	closeAll := func() error {
		client.Close()
		return child.Close()
	}
	return work.Closing(netRPCSession(w, client), closeAll), nil
}

func netRPCSession(w work.Workload, client *rpc.Client) work.Session {
	switch w.Kind {
	case work.Echo:
		return work.NewSession(w, &rpcEcho{client: client}, work.RawShape(w.Size))
	case work.Struct:
		return &rpcStream{client: client, method: "Bench.Record", arg: record.Sample(0), senders: 1}
	}
	return &rpcStream{client: client, method: "Bench.Bytes", arg: make([]byte, w.Size), senders: max(1, w.Senders)}
}

// rpcEcho is a Conn whose answers are those of calls.
type rpcEcho struct {
	client *rpc.Client
	answer []byte
}

func (e *rpcEcho) Send(v []byte) error { return e.client.Call("Bench.Echo", v, &e.answer) }

func (e *rpcEcho) Recv(v *[]byte) error {
	*v = e.answer
	e.answer = nil
	return nil
}

func (*rpcEcho) Close() error { return nil }

type rpcStream struct {
	client  *rpc.Client
	method  string
	arg     any
	senders int
}

func (s *rpcStream) Run(n int) (work.Round, error) {
	began := time.Now()
	err := work.InParallel(s.senders, n, s.send)
	return work.Round{Total: time.Since(began)}, err
}

func (s *rpcStream) send(n int) error {
	calls := make(chan *rpc.Call, window)
	for i := range n {
		if i >= window {
			if call := <-calls; call.Error != nil {
				return call.Error
			}
		}
		s.client.Go(s.method, s.arg, new(struct{}), calls)
	}
	for range min(n, window) {
		if call := <-calls; call.Error != nil {
			return call.Error
		}
	}
	return nil
}

func (*rpcStream) Close() error { return nil }
