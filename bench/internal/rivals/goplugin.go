package rivals

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/go-gipc/gipc/bench/internal/pb"
	"github.com/go-gipc/gipc/bench/internal/work"
)

// goPlugin is a plug-in over gRPC, with the same service as gRPC's row.
type goPlugin struct{}

const (
	pluginName  = "go-plugin"
	pluginValue = "bench"
)

var handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "GIPC_BENCH_PLUGIN", MagicCookieValue: pluginValue}

func init() {
	work.RegisterChild(pluginName, func(w work.Workload, _, _ *os.File) error {
		plugin.Serve(&plugin.ServeConfig{
			HandshakeConfig: handshake,
			Plugins:         plugin.PluginSet{pluginValue: &grpcPlugin{work: w}},
			GRPCServer:      plugin.DefaultGRPCServer,
			Logger:          quiet(),
		})
		return nil
	})
}

func quiet() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off})
}

// grpcPlugin implements plugin.GRPCPlugin.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	work work.Workload
}

// GRPCServer implements plugin.GRPCPlugin.
func (p *grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterBenchServer(s, &grpcService{work: p.work})
	return nil
}

// GRPCClient implements plugin.GRPCPlugin.
func (*grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, cc *grpc.ClientConn) (any, error) {
	return pb.NewBenchClient(cc), nil
}

// StartPlugin starts a plug-in. The function ends it.
func StartPlugin(w work.Workload) (pb.BenchClient, func(), error) {
	cmd, err := work.Command(pluginName, w)
	if err != nil {
		return nil, nil, err
	}
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  handshake,
		Plugins:          plugin.PluginSet{pluginValue: &grpcPlugin{}},
		Cmd:              cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           quiet(),
	})
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, nil, err
	}
	raw, err := protocol.Dispense(pluginValue)
	if err != nil {
		client.Kill()
		return nil, nil, err
	}
	return raw.(pb.BenchClient), client.Kill, nil
}

func (goPlugin) Name() string    { return pluginName }
func (goPlugin) About() string   { return "hashicorp/go-plugin by gRPC: the stream of gRPC's row" }
func (goPlugin) Version() string { return work.Version("github.com/hashicorp/go-plugin") }

func (goPlugin) Open(w work.Workload) (work.Session, error) {
	if w.Kind == work.Spawn {
		return work.Turns(func() error { return pluginOnce(w) }), nil
	}
	if !streams(w) {
		return nil, work.ErrNotOffered
	}
	client, kill, err := StartPlugin(w)
	if err != nil {
		return nil, err
	}
	closeAll := func() error {
		kill()
		return nil
	}
	s, err := grpcSession(w, client)
	if err != nil {
		return nil, errors.Join(err, closeAll())
	}
	return work.Closing(s, closeAll), nil
}

func pluginOnce(w work.Workload) error {
	client, kill, err := StartPlugin(w)
	if err != nil {
		return err
	}
	defer kill()
	_, err = client.Call(context.Background(), &pb.Bytes{Payload: []byte("one message")})
	return err
}
