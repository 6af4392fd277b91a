package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// helper is compiled with each package that is changed. A test binary's name has the number of the change that is turned on,
// since a child runs the same file whatever environment it is given.
const helper = `package %s

import (
	"os"
	"strconv"
	"strings"
)

var mutant = func() int {
	path, _ := os.Readlink("/proc/self/exe")
	_, number, _ := strings.Cut(path[strings.LastIndexByte(path, '/')+1:], "mutant-")
	n, _ := strconv.Atoi(number)
	return n
}()

func mutated(n int) bool { return mutant == n }

func either[T any](n int, usual, other T) T {
	if mutant == n {
		return other
	}
	return usual
}
`

// overlayName is the file in a subject's directory for the overlay's description.
func (r *runner) overlayName(s *subject) string {
	return filepath.Join(r.dir, strings.ReplaceAll(s.dir, "/", "-")+".json")
}

// prepare compiles all changes of a subject into one program, and returns those that compile.
func (r *runner) prepare(s *subject, mutants []*mutant) ([]*mutant, error) {
	var out []byte
	for round := range 20 {
		if err := r.overlay(s, mutants); err != nil {
			return nil, err
		}
		cmd := exec.Command("go", "build", "-gcflags=-e", "-overlay", r.overlayName(s), "./"+s.dir)
		var err error
		if out, err = cmd.CombinedOutput(); err == nil {
			return mutants, nil
		}
		rest := r.withoutOffenders(mutants, out, round >= 3)
		if len(rest) == len(mutants) {
			return nil, fmt.Errorf("%s: %w: %s", s.dir, err, out)
		}
		mutants = rest
	}
	return nil, fmt.Errorf("%s does not compile with any choice of changes: %s", s.dir, out)
}

// overlay writes the files of a subject with all changes in them, and what tells the compiler where they are.
func (r *runner) overlay(s *subject, mutants []*mutant) error {
	files := map[string]string{}
	byPath := map[string][]*mutant{}
	for _, m := range mutants {
		byPath[m.path] = append(byPath[m.path], m)
	}
	put := func(path string, text []byte) error {
		changed := filepath.Join(r.dir, strings.ReplaceAll(path, "/", "-"))
		files[filepath.Join(r.root, path)] = changed
		return os.WriteFile(changed, text, 0o666)
	}
	var name string
	for path, those := range byPath {
		if err := put(path, combined(those)); err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, those[0].source, parser.PackageClauseOnly)
		if err != nil {
			return err
		}
		name = f.Name.Name
	}
	if err := put(filepath.Join(s.dir, "mutated.go"), fmt.Appendf(nil, helper, name)); err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{"Replace": files})
	if err != nil {
		return err
	}
	return os.WriteFile(r.overlayName(s), text, 0o666)
}

// combined returns a file with all choices in it. They were found from the outside to the inside.
func combined(mutants []*mutant) []byte {
	type insert struct {
		at   int
		text string
	}
	var before, behind []insert
	for _, m := range mutants {
		c := m.choice
		before = append(before, insert{c.from, strings.ReplaceAll(c.before, "\x00", strconv.Itoa(m.number))})
		behind = append(behind, insert{c.to, c.behind})
	}
	slices.Reverse(behind)
	all := append(behind, before...) // what ends at a place stands before what begins there
	slices.SortStableFunc(all, func(a, b insert) int { return a.at - b.at })
	var out bytes.Buffer
	at := 0
	source := mutants[0].source
	for _, i := range all {
		out.Write(source[at:i.at])
		out.WriteString(i.text)
		at = i.at
	}
	out.Write(source[at:])
	return out.Bytes()
}

var compileError = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):(?:(\d+):)? `)

// withoutOffenders leaves out the changes in which the compiler has found errors, or all in these lines.
func (r *runner) withoutOffenders(mutants []*mutant, out []byte, wholeLines bool) []*mutant {
	offends := map[string]bool{}
	for _, found := range compileError.FindAllSubmatch(out, -1) {
		text, err := os.ReadFile(filepath.Join(r.dir, filepath.Base(string(found[1]))))
		if err != nil {
			continue // an error elsewhere, because of one here
		}
		line, _ := strconv.Atoi(string(found[2]))
		column, _ := strconv.Atoi(string(found[3]))
		for _, number := range offenders(text, line, column, wholeLines) {
			offends[number] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return offends[strconv.Itoa(m.number)] })
}

var numbered = regexp.MustCompile(`(?:mutated|either)\((\d+)`)

// offenders returns the number of the choice that begins last before a place, or all in its line.
func offenders(text []byte, line, column int, wholeLine bool) (numbers []string) {
	lines := bytes.SplitAfter(text, []byte("\n"))
	here := lines[line-1]
	if !wholeLine {
		const reach = 12 // the compiler may name the place of what is in the choice's brackets
		here = append(bytes.Join(lines[:line-1], nil), here[:min(column+reach, len(here))]...)
	}
	for _, found := range numbered.FindAllSubmatch(here, -1) {
		numbers = append(numbers, string(found[1]))
	}
	if !wholeLine && len(numbers) > 0 {
		return numbers[len(numbers)-1:]
	}
	return numbers
}
