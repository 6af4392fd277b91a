// Vetall type-checks and vets packages, tests too, for several systems: vetall [-C directory] systems packages, with systems
// as in linux/amd64,windows/arm64. It reads everything that the packages import from source, where go vet compiles the
// standard library for each system first, which takes ten times as long.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/checker"
	"golang.org/x/tools/go/packages"
)

func main() {
	dir := flag.String("C", ".", "the directory of the module")
	flag.Parse()
	if flag.NArg() < 2 {
		fmt.Fprintln(os.Stderr, "usage: vetall [-C directory] systems packages")
		os.Exit(2)
	}
	for system := range strings.SplitSeq(flag.Arg(0), ",") {
		problems, err := vet(*dir, system, flag.Args()[1:])
		for _, p := range problems {
			fmt.Printf("%s: %s\n", system, p)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "vetall: %s: %v\n", system, err)
		}
		if len(problems) > 0 || err != nil {
			os.Exit(1)
		}
	}
}

// vet returns what is wrong with the packages on a system.
func vet(dir, system string, patterns []string) (problems []string, err error) {
	loaded, err := load(dir, system, patterns)
	if err != nil {
		return nil, err
	}
	packages.Visit(loaded, nil, func(p *packages.Package) {
		for _, e := range p.Errors {
			problems = append(problems, e.Error())
		}
	})
	if len(problems) > 0 {
		return problems, nil
	}
	graph, err := checker.Analyze(suite, loaded, nil)
	if err != nil {
		return nil, err
	}
	return findings(graph)
}

func load(dir, system string, patterns []string) ([]*packages.Package, error) {
	goos, goarch, found := strings.Cut(system, "/")
	if !found {
		return nil, fmt.Errorf("%q is no system: want one like linux/amd64", system)
	}
	loaded, err := packages.Load(&packages.Config{
		Mode:  packages.LoadAllSyntax | packages.NeedModule,
		Dir:   dir,
		Env:   append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0"),
		Tests: true,
	}, patterns...)
	if err == nil && len(loaded) == 0 {
		err = fmt.Errorf("no packages match %s", strings.Join(patterns, " "))
	}
	return loaded, err
}

// findings lists what the analyzers report of the packages that were named, and not of those that they import. A file that is
// in a package and in its tests' variant is reported once.
func findings(graph *checker.Graph) (problems []string, err error) {
	seen := map[string]bool{}
	for _, act := range graph.Roots {
		if act.Err != nil {
			return nil, fmt.Errorf("%s: %w", act, act.Err)
		}
		for _, d := range act.Diagnostics {
			text := fmt.Sprintf("%s: %s", act.Package.Fset.Position(d.Pos), d.Message)
			if !seen[text] {
				seen[text] = true
				problems = append(problems, text)
			}
		}
	}
	return problems, nil
}
