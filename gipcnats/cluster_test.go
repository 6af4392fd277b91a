package gipcnats

import (
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

// startCluster starts three servers that keep streams together, and returns their URLs.
func startCluster(t testing.TB) []string {
	t.Helper()
	ports := freePorts(t, 3)
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprint("127.0.0.1:", port)})
	}
	var servers []*broken
	var urls []string
	for i, port := range ports {
		s := startServerWith(t, func(o *natsserver.Options) {
			o.ServerName = fmt.Sprint("server", i)
			o.Cluster = natsserver.ClusterOpts{Name: "cluster", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		})
		servers = append(servers, s)
		urls = append(urls, s.url())
	}
	test.Eventually(t, "the servers have a leader", func() bool {
		for _, s := range servers {
			if s.server.JetStreamIsLeader() && len(s.server.JetStreamClusterPeers()) == len(servers) {
				return true
			}
		}
		return false
	})
	return urls
}

// freePorts returns ports that nobody listens on.
func freePorts(t testing.TB, n int) (ports []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		test.Check(t, err)
		defer func() { test.Check(t, l.Close()) }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// A cluster stores one message after the other that demands that there is no end. Those that meet are all stored, and none takes the other
// for the end.
func TestPutsOfAClusterThatMeet(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	urls := startCluster(t)
	o := &ChannelOptions[deed]{Replicas: 3, Memory: true}
	const writers, each = 8, 20
	var all sync.WaitGroup
	closer := writerOf(t, urls[0], o)
	one, two := writerOf(t, urls[1], o), writerOf(t, urls[2], o)
	for i := range writers {
		w := []*Writer[deed]{one, two}[i%2]
		all.Go(func() {
			for range each {
				if err := w.Put(ctx, deed{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	behind := test.Started(func() error { // Close meets Puts
		for {
			if err := one.Put(ctx, deed{}); err != nil {
				return err
			}
		}
	})
	test.Check(t, closer.Close(ctx))
	test.Is(t, <-behind, gipc.ErrClosed)
	end, err := latest(ctx, closer.channel.stream, closer.channel.end())
	test.Check(t, err)
	test.Equal(t, end != nil, true)
}

// Clients and Serves take streams as they are, with whatever Replicas.
func TestReplicasOfOthers(t *testing.T) {
	t.Parallel()
	ctx := test.Context(t)
	urls := startCluster(t)
	o := &Options{Replicas: 3, Memory: true}
	serving(t, urls[0], o, nil)
	_, err := clientOf(t, urls[0], o).Do(ctx, deed{})
	test.Check(t, err)
	c := clientOf(t, urls[1], nil)
	_, err = c.Do(ctx, deed{})
	test.Check(t, err)
	s, err := newServer(ctx, c.core.nc, c.core.kind, "obey me", *resolved(t, &Options{}))
	test.Check(t, err)
	defer s.cut()
	test.Equal(t, s.tasks.CachedInfo().Config.Replicas, 3)
}
