// Command farm hashes the files of a tree on any number of machines. One binary is server, worker and client, by flag:
//
//	farm -server 0.0.0.0:4222 -store /var/lib/farm    # an embedded NATS server, for those who have none
//	farm -worker nats://host:4222 -memory 512         # on each machine, as often as wanted; MiB for each process
//	farm -hash tree nats://host:4222                  # prints what sha256sum prints
//	farm -demo                                        # all of them here, and one machine is killed in the middle
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/gipcnats"
	"github.com/go-gipc/gipc/pool"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// file is what a worker gets. It has no disk in common with the client.
type file struct {
	Path string
	Data []byte
}

// sum is what comes back.
type sum struct {
	Path    string
	Size    int
	Hash    [sha256.Size]byte
	Machine string // the program that the worker belongs to, by its pid
}

var hash = pool.Register("farm.hash", func(_ context.Context, f file) (sum, error) {
	return sum{f.Path, len(f.Data), sha256.Sum256(f.Data), strconv.Itoa(os.Getppid())}, nil
})

// options are those of client and workers. A machine that says nothing for five seconds is lost.
var options = &gipcnats.Options{Prefix: "farm", AckWait: 5 * time.Second}

func main() {
	gipc.Init()
	serve := flag.String("server", "", "be a NATS server at this `address`")
	store := flag.String("store", "", "the `directory` in which the server keeps its streams")
	worker := flag.String("worker", "", "work for the server at this `URL`")
	memory := flag.Int64("memory", 0, "how many `MiB` each process of a worker may use; 0: any number")
	cgroup := flag.String("cgroup", "", "the `directory` of a delegated cgroup that bounds the processes of a worker")
	timeout := flag.Duration("timeout", 0, "how long a worker lets a task run; 0: any time")
	tree := flag.String("hash", "", "hash the files of this `directory`; the server's URL follows")
	demo := flag.Bool("demo", false, "do all of that here, with the current directory or the one that follows")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := errors.New("say what to be: -server, -worker, -hash or -demo")
	switch {
	case *demo:
		err = show(ctx, flag.Arg(0))
	case *serve != "":
		err = beServer(ctx, *serve, *store)
	case *worker != "":
		limits := &gipc.Limits{Memory: *memory << 20, Cgroup: *cgroup}
		err = beWorker(ctx, *worker, &pool.Options{Timeout: *timeout, Spawn: &gipc.SpawnOptions{Limits: limits}})
	case *tree != "":
		_, err = beClient(ctx, flag.Arg(0), *tree, func(s sum) { fmt.Printf("%x  %s\n", s.Hash, s.Path) })
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "farm:", err)
		os.Exit(1)
	}
}

// beServer is a NATS server until ctx ends.
func beServer(ctx context.Context, address, store string) error {
	s, err := startServer(address, store)
	if err != nil {
		return err
	}
	fmt.Println("serving at", s.ClientURL())
	<-ctx.Done()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

func startServer(address, store string) (*server.Server, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		n = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{Host: host, Port: n, JetStream: true, StoreDir: store, NoSigs: true})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		s.Shutdown()
		return nil, errors.New("the server is not ready after 10 s")
	}
	return s, nil
}

func connect(url string) (*nats.Conn, error) {
	return nats.Connect(url, nats.MaxReconnects(-1)) // a server may be away for longer than two minutes
}

// beWorker serves the task until ctx ends, and finishes what it has: so SIGTERM drains.
func beWorker(ctx context.Context, url string, opts *pool.Options) error {
	p, err := pool.New(hash, opts)
	if err != nil {
		return err
	}
	defer p.Close()
	nc, err := connect(url)
	if err != nil {
		return err
	}
	defer nc.Close()
	return gipcnats.Serve(ctx, nc, p, options)
}

// beClient has the files of a tree hashed, and reports each in order. It returns how many there were.
func beClient(ctx context.Context, url, tree string, report func(sum)) (int, error) {
	nc, err := connect(url)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	c, err := gipcnats.NewClient(nc, hash, options)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	n := 0
	var walkErr error
	for s, err := range c.All(ctx, files(tree, &walkErr)) {
		if err != nil {
			return n, err
		}
		n++
		report(s)
	}
	return n, walkErr
}

// files are the regular files below a directory. What goes wrong is in *err behind the end.
func files(tree string, err *error) iter.Seq[file] {
	return func(yield func(file) bool) {
		*err = filepath.WalkDir(tree, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			data, err := readFile(path)
			if err != nil {
				return err
			}
			if !yield(file{path, data}) {
				return filepath.SkipAll
			}
			return nil
		})
	}
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}
