package gipcnats

import (
	"runtime"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// A panic of args goes on in the loop's goroutine, also if the loop is left before its next step would have met it.
func TestAllPassesOnAPanicWhenItIsLeft(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	serving(t, url, nil, nil)
	c := clientOf(t, url, nil)
	l := newLoop(test.Context(t), c)
	inBody := make(chan struct{})
	go l.take(func(yield func(deed) bool) {
		yield(deed{N: 7})
		<-inBody
		panic("args")
	})
	test.Panics(t, func() {
		l.run(func(r done, err error) bool {
			test.Check(t, err)
			test.Equal(t, r.N, 7)
			close(inBody)
			<-l.items // closed when the panic was caught
			return false
		})
	})
}

// A panic in the loop goes on, also if args has called Goexit: that would end the goroutine without a word.
func TestPanicInTheLoopGoesOn(t *testing.T) {
	t.Parallel()
	url := startServer(t).url()
	serving(t, url, nil, nil)
	l := newLoop(test.Context(t), clientOf(t, url, nil))
	inBody, ended := make(chan struct{}), make(chan struct{})
	go l.take(func(yield func(deed) bool) {
		yield(deed{})
		<-inBody
		runtime.Goexit()
	})
	var got any
	go func() {
		defer close(ended)
		defer func() { got = recover() }()
		l.run(func(done, error) bool {
			close(inBody)
			<-l.items // closed when the Goexit was noticed
			panic("in the loop")
		})
	}()
	<-ended
	test.Equal(t, got, any("in the loop"))
}
