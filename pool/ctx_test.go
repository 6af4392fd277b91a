package pool

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// oddCtx is a ctx of a user's own type, with an error that can't be compared.
type oddCtx struct{ context.Context }

func (c oddCtx) Err() error {
	if err := c.Context.Err(); err != nil {
		return oddError{err}
	}
	return nil
}

type oddError []error

func (e oddError) Error() string   { return fmt.Sprintf("odd: %v", e[0]) }
func (e oddError) Unwrap() []error { return e }

// ownContexts are ctx of users' types.
var ownContexts = map[string]func(context.Context) context.Context{
	"its error is made anew each time": func(ctx context.Context) context.Context { return test.OwnCtx{Context: ctx} },
	"its error can't be compared":      func(ctx context.Context) context.Context { return oddCtx{ctx} },
}

func TestOwnCtxEnds(t *testing.T) {
	p := newTestPool(t, Options{Max: 1})
	for name, own := range ownContexts {
		t.Run(name, func(t *testing.T) {
			why := errors.New("the client left")
			ended, cancel := context.WithCancelCause(context.Background())
			cancel(why)
			_, err := p.Do(own(ended), deed{})
			test.Is(t, err, context.Canceled, why)
			last := 0
			for _, err := range p.All(own(ended), deeds(3, echo)) {
				test.Is(t, err, context.Canceled)
				last++
			}
			test.Equal(t, last, 1)

			ctx, cancel := context.WithCancelCause(context.Background())
			result := start(t, own(ctx), p, deed{Do: "until cancelled"})
			cancel(why)
			test.Is(t, <-result, context.Canceled, why)
		})
	}
	test.Equal(t, int(p.Stats().Lost+p.Stats().Replaced), 0)
}
