package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

const sample = `package sample

import "sync"

const (
	red = iota
	blue
)

func f(a, b int, mu *sync.Mutex) (bool, error) {
	mu.Lock()
	defer mu.Unlock()
	if a < b && ok(red) {
		g()
		return a == b, err
	}
	for x.red != 1000 {
		a += 1
	}
	return true, nil
}
`

func TestFindsChangesOfMeaning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sample.go")
	if err := os.WriteFile(path, []byte(sample), 0o666); err != nil {
		t.Fatal(err)
	}
	found, err := findIn([]string{path})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range found {
		got = append(got, short(sample[m.from:m.to])+" → "+short(m.text))
	}
	want := []string{
		"a < b && ok(red) → !(a < b && ok(red))", "&& → ||", "< → <=", "< → >=", "red → blue",
		"g() → nothing", "err → nil", "== → !=",
		"!= → ==", "a += 1 → nothing", "+= → -=", "1 → 2", "1 → 0",
		"true → false",
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	keys := map[string]bool{}
	for _, m := range found {
		keys[m.key] = true
		if string(m.changed()) == sample {
			t.Errorf("%v changes nothing", m)
		}
	}
	if len(keys) != len(found) {
		t.Errorf("%d names for %d changes", len(keys), len(found))
	}
}

func TestSeedDecides(t *testing.T) {
	t.Chdir("../..")
	all := func(_ *subject, found []*mutant) ([]*mutant, error) { return found, nil }
	first, err := choose(all)
	if err != nil {
		t.Fatal(err)
	}
	second, err := choose(all)
	if err != nil {
		t.Fatal(err)
	}
	same := func(a, b *mutant) bool { return a.key == b.key }
	if len(first) < 1000 || !slices.EqualFunc(first, second, same) {
		t.Errorf("%d changes, then %d in another order", len(first), len(second))
	}
}

func TestResultsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []result{{Key: "a", Verdict: survived}, {Key: "b", Verdict: survived}, {Key: "a", Verdict: noticed, By: "TestA"}} {
		if err := r.write(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	kept, err := readResults(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != 2 || kept["a"].By != "TestA" || kept["b"].Verdict != survived {
		t.Errorf("%+v", kept)
	}
}
