package codecs

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/go-gipc/gipc"

	"github.com/go-gipc/gipc/bench/internal/pb"
	"github.com/go-gipc/gipc/bench/internal/rivals"
	"github.com/go-gipc/gipc/bench/internal/work"
)

var protoChild = rivals.Serve("records by protobuf", func(work.Workload) work.Shape[*pb.Record] { return rivals.ProtoShape })

var protobuf = &codec[*pb.Record]{"protobuf", "generated types, reflection", work.Version("google.golang.org/protobuf"),
	register(gipc.CodecFunc("protobuf",
		func(dst []byte, v *pb.Record) ([]byte, error) { return proto.MarshalOptions{}.MarshalAppend(dst, v) },
		func(src []byte, v **pb.Record) error {
			if *v == nil {
				*v = new(pb.Record)
			}
			return proto.Unmarshal(src, *v)
		})), protoChild, rivals.ProtoShape}

var vtprotobuf = &codec[*pb.Record]{"vtprotobuf", "generated code for the same types", work.Version("github.com/planetscale/vtprotobuf"),
	register(gipc.CodecFunc("vtprotobuf",
		func(dst []byte, v *pb.Record) ([]byte, error) {
			n, size := len(dst), v.SizeVT()
			dst = slices.Grow(dst, size)[:n+size]
			_, err := v.MarshalToSizedBufferVT(dst[n:])
			return dst, err
		},
		func(src []byte, v **pb.Record) error {
			if *v == nil {
				*v = new(pb.Record)
			}
			(*v).Reset() // UnmarshalVT adds to what is there
			return (*v).UnmarshalVT(src)
		})), protoChild, rivals.ProtoShape}
