package foreign

import (
	"os/exec"
	"strings"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// python is one of the ways in which Python programs do the work.
type python struct {
	name, about string
	way         string // the program's first argument
	interpreter string
	module      string // "": the standard library
	offers      []work.Kind
}

func pythons(withGipc string) []work.Rival {
	const standard = "python3"
	if withGipc == "" {
		withGipc = standard
	}
	return []work.Rival{
		&python{"Python multiprocessing", "Connection.send_bytes on a Pipe; structs by Connection.send, which pickles", "connection",
			standard, "", []work.Kind{work.Stream, work.Echo, work.Struct, work.Spawn}},
		&python{"Python Queue", "multiprocessing.Queue, whose thread sends", "queue",
			standard, "", []work.Kind{work.Stream, work.Echo, work.Struct}},
		&python{"Python gipc", "put and get of a duplex pipe; bytes without pickling", "gipc",
			withGipc, "gipc", []work.Kind{work.Stream, work.Echo, work.Struct, work.Spawn}},
		&python{"Python ProcessPoolExecutor", "concurrent.futures, as many workers as CPUs", "executor",
			standard, "", []work.Kind{work.Task}},
	}
}

func (p *python) Name() string  { return p.name }
func (p *python) About() string { return p.about }

func (p *python) Version() string {
	version := strings.TrimPrefix(output(p.interpreter, "--version"), "Python ")
	if p.module == "" {
		return version
	}
	return output(p.interpreter, "-c", "import gipc; print(gipc.__version__)") + ", Python " + version
}

func (p *python) Open(w work.Workload) (work.Session, error) {
	if !offers(p.offers, w) {
		return nil, work.ErrNotOffered
	}
	if err := exec.Command(p.interpreter, "-c", "pass").Run(); err != nil {
		return nil, &work.MissingError{Tool: p.interpreter, Install: "https://www.python.org/downloads, or apt install python3", Err: err}
	}
	if p.module != "" {
		if err := exec.Command(p.interpreter, "-c", "import "+p.module).Run(); err != nil {
			return nil, &work.MissingError{Tool: "Python's " + p.module, Err: err,
				Install: "python3 -m venv DIR && DIR/bin/pip install gipc, then go run . -python DIR/bin/python"}
		}
	}
	return script(p.interpreter, "rival.py", append([]string{p.way}, arguments(w)...)...)
}

// offers reports whether a workload is of one of these kinds, with one sender.
func offers(kinds []work.Kind, w work.Workload) bool {
	if w.Codecs || w.Senders > 1 {
		return false
	}
	for _, k := range kinds {
		if k == w.Kind {
			return true
		}
	}
	return false
}
