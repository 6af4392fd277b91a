//go:build !unix

package main

import "os"

// reloads receives nothing: there is no SIGHUP here.
func reloads() <-chan os.Signal { return nil }
