package rivals

import (
	"context"
	"errors"
	"io"
	"net"
	"os"

	"github.com/containerd/ttrpc"

	"github.com/go-gipc/gipc/bench/internal/pb"
	"github.com/go-gipc/gipc/bench/internal/ttrpcpb"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// ttrpcRival sends messages on bidirectional streams over a unix socket, one stream for each goroutine.
type ttrpcRival struct{}

const ttrpcName = "ttrpc"

func init() {
	work.RegisterChild(ttrpcName, func(w work.Workload, in, out *os.File) error {
		return serveSocket(in, out, func(l net.Listener) error {
			s, err := ttrpc.NewServer()
			if err != nil {
				return err
			}
			ttrpcpb.RegisterBenchService(s, &ttrpcService{w})
			return s.Serve(context.Background(), l)
		})
	})
}

type ttrpcService struct{ work work.Workload }

// Messages implements the generated interface.
func (s *ttrpcService) Messages(_ context.Context, stream ttrpcpb.Bench_MessagesServer) error {
	return endOK(work.Serve(s.work, protoConn[*pb.Bytes]{stream, nil}, bytesShape(s.work.Size)))
}

// Records implements the generated interface.
func (s *ttrpcService) Records(_ context.Context, stream ttrpcpb.Bench_RecordsServer) error {
	return endOK(work.Serve(s.work, protoConn[*pb.Record]{stream, nil}, ProtoShape))
}

// endOK takes the end of a stream for a good one.
func endOK(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (ttrpcRival) Name() string    { return ttrpcName }
func (ttrpcRival) About() string   { return "a bidirectional stream over a unix socket, protobuf" }
func (ttrpcRival) Version() string { return work.Version("github.com/containerd/ttrpc") }

func (ttrpcRival) Open(w work.Workload) (work.Session, error) {
	if !streams(w) {
		return nil, work.ErrNotOffered
	}
	child, err := startSocketChild(ttrpcName, w)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("unix", child.path)
	if err != nil {
		return nil, errors.Join(err, child.Close())
	}
	client := ttrpc.NewClient(conn)
	closeAll := func() error { return errors.Join(client.Close(), child.Close()) }
	s, err := ttrpcSession(w, ttrpcpb.NewBenchClient(client))
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return work.Closing(s, closeAll), nil
}

func ttrpcSession(w work.Workload, client ttrpcpb.BenchClient) (work.Session, error) {
	return perSender(w, func(w work.Workload) (work.Session, error) {
		if w.Kind == work.Struct {
			s, err := client.Records(context.Background())
			if err != nil {
				return nil, err
			}
			return work.NewSession(w, protoConn[*pb.Record]{s, s.CloseSend}, ProtoShape), nil
		}
		s, err := client.Messages(context.Background())
		if err != nil {
			return nil, err
		}
		return work.NewSession(w, protoConn[*pb.Bytes]{s, s.CloseSend}, bytesShape(w.Size)), nil
	})
}
