package main

import (
	"slices"
	"testing"

	"github.com/go-gipc/gipc/bench/internal/work"
)

func TestWorkloads(t *testing.T) {
	all := rivalsOf(options{})
	seen := map[string]bool{}
	for _, w := range workloads() {
		if seen[w.ID()] {
			t.Errorf("there are two workloads %s", w.ID())
		}
		seen[w.ID()] = true
		if !slices.ContainsFunc(all, func(r work.Rival) bool { return r.Name() == w.Base }) {
			t.Errorf("%s: there is no rival %q to be the base", w.ID(), w.Base)
		}
	}
}

func TestRivalsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range rivalsOf(options{}) {
		// Two may share a name where no workload is for both.
		key := r.Name() + r.About()
		if r.Name() == "" || r.About() == "" || seen[key] {
			t.Errorf("%q: its name or its setup is missing, or there are two", key)
		}
		seen[key] = true
	}
}
