// Profile says where the time of a stream goes, for each workload of BenchmarkStream. It prints a table for docs/performance.md.
// What the kernel does in a read or write, copying above all, counts as that of the call.
package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/google/pprof/profile"
)

var workloads = []string{
	"pipe/64B", "pipe/16KiB", "pipe/1MiB", "buffer/64B", "crowd/64B", "shared/64B", "shared/1MiB", "pipe/struct", "shared/struct",
}

// kinds are what time is spent on. A sample belongs to the first kind that one of its functions matches.
var kinds = []struct {
	name      string
	functions *regexp.Regexp
}{
	{"allocating", regexp.MustCompile(`^runtime\.(mallocgc|growslice|makeslice|gcBgMarkWorker|gcAssistAlloc|bgsweep|bgscavenge|gcStart|newobject)`)},
	{"sleeping and waking", regexp.MustCompile(`^runtime\.(schedule|findRunnable|mcall|park_m|ready|goready|futex|notewakeup|netpoll|sysmon|mstart|mstart1|entersyscall|exitsyscall|wakep|startm|usleep|goexit0)$`)},
	{"reads and writes", regexp.MustCompile(`^(internal/runtime/)?syscall[./]`)},
	{"copying", regexp.MustCompile(`^runtime\.(memmove|memclr)`)},
	{"codec", regexp.MustCompile(`fxamacker/cbor|gipc/internal/codec|\.(CBOR|Raw)\b|^reflect\.`)},
	{"gipc", regexp.MustCompile(`go-gipc/gipc`)},
}

func main() {
	log.SetFlags(0)
	dir, err := os.MkdirTemp("", "gipc-profile-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "gipc.test")
	run("go", "-C", "..", "test", "-c", "-o", program, ".")
	fmt.Print("| stream |")
	for _, k := range kinds {
		fmt.Print(" " + k.name + " |")
	}
	fmt.Println(" the rest |\n|---|" + strings.Repeat("---|", len(kinds)+1))
	for _, w := range workloads {
		path := filepath.Join(dir, "cpu")
		run(program, "-test.run", "^$", "-test.bench", "^BenchmarkStream$/^"+strings.ReplaceAll(w, "/", "$/^")+"$",
			"-test.benchtime", "3s", "-test.cpuprofile", path)
		row(w, path)
	}
}

func run(name string, args ...string) {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		log.Fatalf("%s: %v: %s", name, err, out)
	}
}

// row prints the shares of the kinds in a profile.
func row(workload, path string) {
	file, err := os.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	p, err := profile.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	times := make([]int64, len(kinds)+1)
	all := int64(0)
	for _, s := range p.Sample {
		nanoseconds := s.Value[len(s.Value)-1]
		times[kindOf(s)] += nanoseconds
		all += nanoseconds
	}
	fmt.Printf("| %s |", workload)
	for _, t := range times {
		fmt.Printf(" %d %% |", (100*t+all/2)/all)
	}
	fmt.Println()
}

func kindOf(s *profile.Sample) int {
	for i, k := range kinds {
		for _, location := range s.Location {
			for _, line := range location.Line {
				if k.functions.MatchString(line.Function.Name) {
					return i
				}
			}
		}
	}
	return len(kinds)
}
