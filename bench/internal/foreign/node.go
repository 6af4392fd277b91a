package foreign

import (
	"os/exec"
	"strings"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// node is Node's own channel to a child.
type node struct{}

func (node) Name() string { return "Node fork" }
func (node) About() string {
	return "child_process.fork with advanced serialization, backpressure by send's result"
}

func (node) Version() string { return strings.TrimPrefix(output("node", "--version"), "v") }

func (node) Open(w work.Workload) (work.Session, error) {
	if !offers([]work.Kind{work.Stream, work.Echo, work.Struct, work.Spawn}, w) {
		return nil, work.ErrNotOffered
	}
	path, err := exec.LookPath("node")
	if err != nil {
		return nil, &work.MissingError{Tool: "node", Install: "https://nodejs.org/en/download, or apt install nodejs", Err: err}
	}
	return script(path, "rival.js", arguments(w)...)
}
