//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// reloads receives the requests for a new generation of workers.
func reloads() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
