package main

import (
	"os"
	"testing"

	"github.com/go-gipc/gipc"
)

func TestMain(m *testing.M) {
	gipc.Init()
	os.Exit(m.Run())
}
