package rivals

import (
	"context"
	"errors"
	"net"
	"os"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/go-gipc/gipc/bench/internal/pb"
	"github.com/go-gipc/gipc/bench/internal/record"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// grpcRival sends messages on bidirectional streams over a unix socket, one stream for each goroutine.
type grpcRival struct{}

const grpcName = "gRPC"

func init() {
	work.RegisterChild(grpcName, func(w work.Workload, in, out *os.File) error {
		return serveSocket(in, out, func(l net.Listener) error {
			s := grpc.NewServer()
			pb.RegisterBenchServer(s, &grpcService{work: w})
			return s.Serve(l)
		})
	})
}

// grpcService is the child's side, of a plug-in too.
type grpcService struct {
	pb.UnimplementedBenchServer
	work work.Workload
}

// Messages implements pb.BenchServer.
func (s *grpcService) Messages(stream grpc.BidiStreamingServer[pb.Bytes, pb.Bytes]) error {
	return endOK(work.Serve(s.work, protoConn[*pb.Bytes]{stream, nil}, bytesShape(s.work.Size)))
}

// Records implements pb.BenchServer.
func (s *grpcService) Records(stream grpc.BidiStreamingServer[pb.Record, pb.Record]) error {
	return endOK(work.Serve(s.work, protoConn[*pb.Record]{stream, nil}, ProtoShape))
}

// Call implements pb.BenchServer.
func (*grpcService) Call(context.Context, *pb.Bytes) (*pb.Bytes, error) { return &pb.Bytes{}, nil }

func bytesShape(size int) work.Shape[*pb.Bytes] {
	raw := work.RawShape(size)
	return work.Shape[*pb.Bytes]{
		Make:   func(number uint64) *pb.Bytes { return &pb.Bytes{Payload: raw.Make(number)} },
		Number: func(m *pb.Bytes) uint64 { return raw.Number(m.GetPayload()) },
	}
}

// ProtoShape is that of records as protobuf messages.
var ProtoShape = work.Shape[*pb.Record]{
	Make:   func(number uint64) *pb.Record { return toProto(record.Sample(number)) },
	Number: func(m *pb.Record) uint64 { return m.GetId() },
}

func (grpcRival) Name() string    { return grpcName }
func (grpcRival) About() string   { return "a bidirectional stream over a unix socket, protobuf" }
func (grpcRival) Version() string { return work.Version("google.golang.org/grpc") }

func (grpcRival) Open(w work.Workload) (work.Session, error) {
	if !streams(w) {
		return nil, work.ErrNotOffered
	}
	child, err := startSocketChild(grpcName, w)
	if err != nil {
		return nil, err
	}
	cc, err := grpc.NewClient("unix:"+child.path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, errors.Join(err, child.Close())
	}
	closeAll := func() error { return errors.Join(cc.Close(), child.Close()) }
	s, err := grpcSession(w, pb.NewBenchClient(cc))
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return work.Closing(s, closeAll), nil
}

// streams reports whether a workload is messages on a stream.
func streams(w work.Workload) bool {
	return !w.Codecs && (w.Kind == work.Stream || w.Kind == work.Echo || w.Kind == work.Struct)
}

// grpcSession opens a stream for each of the workload's goroutines.
func grpcSession(w work.Workload, client pb.BenchClient) (work.Session, error) {
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

// perSender is a session for each of the goroutines that send.
func perSender(w work.Workload, open func(work.Workload) (work.Session, error)) (work.Session, error) {
	senders := w.Senders
	w.Senders = 0
	if senders <= 1 {
		return open(w)
	}
	var all work.Parallel
	for range senders {
		s, err := open(w)
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, s)
	}
	return all, nil
}

// protoStream is a stream of protobuf messages of the same type both ways.
type protoStream[T any] interface {
	Send(T) error
	Recv() (T, error)
}

type protoConn[T any] struct {
	stream protoStream[T]
	end    func() error // nil in the child
}

func (c protoConn[T]) Send(v T) error { return c.stream.Send(v) }

func (c protoConn[T]) Recv(v *T) (err error) {
	*v, err = c.stream.Recv()
	return err
}

// Close waits until the child has ended the stream, too.
func (c protoConn[T]) Close() error {
	if err := c.end(); err != nil {
		return err
	}
	_, err := c.stream.Recv()
	return endOK(err)
}

// toProto is a record as a protobuf message.
func toProto(r record.Record) *pb.Record {
	return &pb.Record{
		Id: r.ID, Name: r.Name, Tags: r.Tags, Attrs: r.Attrs, Score: r.Score, When: timestamppb.New(r.When), Blob: r.Blob,
	}
}
