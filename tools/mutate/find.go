package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mutant is one change of meaning.
type mutant struct {
	path     string // of the file, from the root
	line     int
	column   int
	from, to int    // bytes of the file that are replaced
	text     string // by this
	source   []byte // of the file
	key      string // names it, as long as its surroundings stay the same
	choice   choice
	number   int // what turns the choice on
	subject  *subject
	result   result
}

// choice is how the same change is compiled into one program with all others: what stands before and behind a piece of source,
// with a zero byte in place of the number.
type choice struct {
	from, to       int
	before, behind string
}

// setKeys names the changes of a file by the lines that they change, not by their numbers: results outlast an edit elsewhere.
func setKeys(mutants []*mutant) {
	times := map[string]int{}
	for _, m := range mutants {
		begin, end := m.lines()
		key := fmt.Sprintf("%s %q %d %q", m.path, m.source[begin:end], m.from-begin, m.text)
		times[key]++
		m.key = fmt.Sprint(key, " ", times[key])
	}
}

func (m *mutant) String() string {
	return fmt.Sprintf("%s:%d:%d: %s → %s", m.path, m.line, m.column, short(string(m.source[m.from:m.to])), short(m.text))
}

func short(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if text == "" {
		return "nothing"
	}
	const most = 60
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// lines returns the bytes of the whole lines that are changed.
func (m *mutant) lines() (begin, end int) {
	begin = strings.LastIndexByte(string(m.source[:m.from]), '\n') + 1
	end = m.to + strings.IndexByte(string(m.source[m.to:])+"\n", '\n')
	return begin, end
}

func (m *mutant) changed() []byte {
	return slices.Concat(m.source[:m.from], []byte(m.text), m.source[m.to:])
}

// diff shows the change.
func (m *mutant) diff() string {
	begin, end := m.lines()
	after := string(m.source[begin:m.from]) + m.text + string(m.source[m.to:end])
	var b strings.Builder
	for line := range strings.Lines(string(m.source[begin:end])) {
		fmt.Fprintf(&b, "    - %s\n", strings.TrimSpace(line))
	}
	for line := range strings.Lines(after) {
		fmt.Fprintf(&b, "    + %s\n", strings.TrimSpace(line))
	}
	return b.String()
}

// findMutants returns all changes of a subject, whether they compile or not.
func (s *subject) findMutants() ([]*mutant, error) {
	paths, err := s.sources()
	if err != nil {
		return nil, err
	}
	found, err := findIn(paths)
	for i, m := range found {
		m.number, m.subject = i+1, s
	}
	return found, err
}

// sources returns the files to change: those that are compiled here.
func (s *subject) sources() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if s.files != nil && !slices.Contains(s.files, name) {
			continue
		}
		matches, err := build.Default.MatchFile(s.dir, name)
		if err != nil {
			return nil, err
		}
		if matches {
			paths = append(paths, filepath.Join(s.dir, name))
		}
	}
	return paths, nil
}

func findIn(paths []string) ([]*mutant, error) {
	fset := token.NewFileSet()
	files := make([]*ast.File, len(paths))
	sources := make([][]byte, len(paths))
	for i, path := range paths {
		var err error
		if sources[i], err = os.ReadFile(path); err != nil {
			return nil, err
		}
		if files[i], err = parser.ParseFile(fset, path, sources[i], parser.SkipObjectResolution); err != nil {
			return nil, err
		}
	}
	swaps := enumSwaps(files)
	var all []*mutant
	for i, path := range paths {
		f := finder{file: fset.File(files[i].FileStart), path: path, source: sources[i], swaps: swaps, seen: map[string]bool{}}
		for _, decl := range files[i].Decls {
			if fn, ok := decl.(*ast.FuncDecl); ok && fn.Body != nil {
				f.function(fn.Type, fn.Body)
			}
		}
		setKeys(f.found)
		all = append(all, f.found...)
	}
	return all, nil
}

// enumSwaps returns, for each constant of an enumeration, the one behind it.
func enumSwaps(files []*ast.File) map[string]string {
	swaps := map[string]string{}
	for _, file := range files {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST || !group.Lparen.IsValid() {
				continue
			}
			var names []string
			counts := false
			for _, spec := range group.Specs {
				v := spec.(*ast.ValueSpec)
				names = append(names, v.Names[0].Name)
				if len(v.Values) == 1 {
					ast.Inspect(v.Values[0], func(n ast.Node) bool {
						id, ok := n.(*ast.Ident)
						counts = counts || ok && id.Name == "iota"
						return true
					})
				}
			}
			for i := range names {
				if counts && len(names) > 1 {
					swaps[names[i]] = names[(i+1)%len(names)]
				}
			}
		}
	}
	return swaps
}
