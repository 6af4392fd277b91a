package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// show starts a server and two machines, which are processes of their own, hashes a tree, and kills one machine in the middle.
func show(ctx context.Context, tree string) error {
	if tree == "" {
		tree = "."
	}
	store, err := os.MkdirTemp("", "farm")
	if err != nil {
		return err
	}
	defer os.RemoveAll(store)
	s, err := startServer("127.0.0.1:0", store)
	if err != nil {
		return err
	}
	defer s.Shutdown()
	var machines [2]*exec.Cmd
	for i := range machines {
		if machines[i], err = startMachine(ctx, s.ClientURL()); err != nil {
			return err
		}
		defer func() { _ = machines[i].Wait() }() // its exit status is that of a killed process
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var sums []sum
	by := map[string]int{}
	_, err = beClient(ctx, s.ClientURL(), tree, func(s sum) {
		sums = append(sums, s)
		by[s.Machine]++
		if len(sums) == 10 {
			fmt.Println("10 files are done. One machine is killed.")
			_ = machines[0].Process.Kill() // it has ended if that fails
		}
	})
	if err != nil {
		return err
	}
	_ = machines[1].Process.Signal(os.Interrupt) // it drains
	return check(tree, sums, by)
}

func startMachine(ctx context.Context, url string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "-worker", url)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd, cmd.Start()
}

// check hashes the tree here, and compares.
func check(tree string, sums []sum, by map[string]int) error {
	var walkErr error
	n := 0
	for f := range files(tree, &walkErr) {
		if n >= len(sums) || sums[n].Path != f.Path || sums[n].Hash != sha256.Sum256(f.Data) {
			return fmt.Errorf("file %d, %s, is missing, there twice, or wrong", n, f.Path)
		}
		n++
	}
	if walkErr != nil {
		return walkErr
	}
	if n != len(sums) {
		return fmt.Errorf("%d files became %d sums", n, len(sums))
	}
	for machine, files := range by {
		fmt.Printf("machine %s hashed %d files\n", machine, files)
	}
	fmt.Printf("All %d files were counted once.\n", n)
	return nil
}
