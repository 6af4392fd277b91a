package foreign

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/go-gipc/gipc/bench/internal/work"
)

// rust is the ipc-channel crate. Its program is built on first use, and kept in the user's cache.
type rust struct {
	once   sync.Once
	binary string
	err    error
}

func (*rust) Name() string { return "Rust ipc-channel" }

func (*rust) About() string { return "IpcBytesSender; structs by serde" }

// Version is read from the file that pins it.
func (*rust) Version() string {
	lock, err := programs.ReadFile("programs/rust/Cargo.lock")
	if err != nil {
		return ""
	}
	_, rest, _ := strings.Cut(string(lock), "name = \"ipc-channel\"\nversion = \"")
	version, _, _ := strings.Cut(rest, "\"")
	return version
}

func (r *rust) Open(w work.Workload) (work.Session, error) {
	if !offers([]work.Kind{work.Stream, work.Echo, work.Struct, work.Spawn}, w) {
		return nil, work.ErrNotOffered
	}
	if r.once.Do(r.build); r.err != nil {
		return nil, r.err
	}
	return start(exec.Command(r.binary, arguments(w)...), func() error { return nil })
}

func (r *rust) build() {
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		r.err = &work.MissingError{Tool: "cargo", Install: "https://rustup.rs, or apt install cargo", Err: err}
		return
	}
	r.binary, r.err = buildRust(cargo)
}

// buildRust keeps the sources beside what is built of them, because cargo builds anew what has moved or is younger.
func buildRust(cargo string) (binary string, err error) {
	target, err := rustTarget()
	if err != nil {
		return "", err
	}
	sources := filepath.Join(target, "sources")
	for _, name := range []string{"Cargo.toml", "Cargo.lock", "src/main.rs"} {
		if err := keep(filepath.Join(sources, name), "programs/rust/"+name); err != nil {
			return "", err
		}
	}
	cmd := exec.Command(cargo, "build", "--release", "--locked", "--quiet", "--target-dir", target)
	cmd.Dir = sources
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return rustBinary(target), nil
}

// keep writes a file of this package to path, unless it is there already.
func keep(path, name string) error {
	want, err := programs.ReadFile(name)
	if err != nil {
		return err
	}
	if got, err := os.ReadFile(path); err == nil && bytes.Equal(got, want) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, want, 0o644)
}

// rustTarget is where cargo builds.
func rustTarget() (string, error) {
	cache, err := os.UserCacheDir()
	return filepath.Join(cache, "gipc-bench", "rust"), err
}

func rustBinary(target string) string { return filepath.Join(target, "release", "rival") }
