package unwind

import (
	"runtime"
	"testing"
)

func TestReason(t *testing.T) {
	type reason struct{ goexits, panics bool }
	for name, c := range map[string]struct {
		leave func()
		want  reason
	}{
		"return":                    {func() {}, reason{}},
		"panic":                     {func() { panic(1) }, reason{panics: true}},
		"Goexit":                    {runtime.Goexit, reason{goexits: true}},
		"panic in a Goexit":         {func() { defer func() { panic(1) }(); runtime.Goexit() }, reason{panics: true}},
		"Goexit in a panic":         {func() { defer runtime.Goexit(); panic(1) }, reason{goexits: true}},
		"Goexit behind a recover":   {func() { defer func() { _ = recover(); runtime.Goexit() }(); panic(1) }, reason{goexits: true}},
		"return behind a recover":   {func() { defer func() { _ = recover() }(); panic(1) }, reason{}},
		"panic below many a caller": {func() { deep(100) }, reason{panics: true}},
	} {
		t.Run(name, func(t *testing.T) {
			var got reason
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() {
					got.goexits, got.panics = Reason()
					_ = recover()
				}()
				c.leave()
			}()
			<-done
			if got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func deep(n int) {
	if n == 0 {
		panic(1)
	}
	defer func() {}()
	deep(n - 1)
}
