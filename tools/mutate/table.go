package main

// subject is code that is changed, and the tests that touch it.
type subject struct {
	dir   string
	files []string // nil: all
	tests []string // packages, the quickest to notice first
}

// subjects is the table. Tests run with -short: these are those that everybody runs.
var subjects = []*subject{
	{dir: "internal/wire", tests: []string{"./internal/wire", "."}},
	{
		dir:   ".",
		files: []string{"handover.go", "moves.go", "child.go", "spawn.go", "process.go", "stop.go", "exit.go", "begin.go"},
		tests: []string{"."},
	},
	{dir: "internal/proc", tests: []string{"./internal/proc", "."}},
	{dir: "supervisor", tests: []string{"./supervisor"}},
	{dir: "pool", files: []string{"sched.go", "roster.go", "core.go"}, tests: []string{"./pool"}},
}
