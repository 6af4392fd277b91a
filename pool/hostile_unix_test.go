//go:build unix

package pool

import (
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

func TestWorkerThatWritesToAllDescriptorsIsKilled(t *testing.T) {
	p := newHostile(t, "writes to all descriptors", Options{Max: 1})
	_, err := p.Do(test.Context(t), deed{})
	if died := as[*WorkerError](t, err); died.Exit.Code == 0 {
		t.Error(died)
	}
}
