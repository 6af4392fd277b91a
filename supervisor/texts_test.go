package supervisor

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc"
	"github.com/go-gipc/gipc/internal/test"
)

func TestTexts(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Event{Child: "web", PID: 7, Kind: EventStarting}.String(), "child web (pid 7) starting"},
		{Event{Child: "web", Kind: EventRestarting, Delay: time.Second}.String(), "child web restarting in 1s"},
		{Event{Kind: EventStopped}.String(), "supervisor stopped"},
		{
			Event{Child: "web", PID: 7, Kind: EventExited, Err: errors.New("bad luck"), Dropped: 2}.String(),
			"child web (pid 7) exited: bad luck (2 events before this were dropped)",
		},
		{
			(&GaveUpError{Child: "web", Restarts: 1, Window: time.Minute, Err: errors.New("bad luck")}).Error(),
			"gipc: supervisor gave up on child web after 1 restart within 1m0s: bad luck",
		},
		{
			(&GaveUpError{Child: "web", Restarts: 3, Window: time.Minute}).Error(),
			"gipc: supervisor gave up on child web after 3 restarts within 1m0s: it ended without an error",
		},
	} {
		test.Equal(t, c.got, c.want)
	}
}

func TestAMistakeInAChildNamesIt(t *testing.T) {
	s := New(t.Context(), nil)
	args := func(context.Context) (deedArgs, error) { return deedArgs{}, nil }
	named := &ChildOptions{Spawn: &gipc.SpawnOptions{Name: "web"}}
	for _, c := range []struct {
		spec ChildSpec
		want string
	}{
		{Child[deedArgs](nil, args, nil), "child without a name: it has no entrypoint: Register makes one"},
		{Child[deedArgs](nil, args, named), "child web: it has no entrypoint: Register makes one"},
		{Child(new(gipc.Entrypoint[deedArgs]), args, named), "child web: it has no entrypoint: Register makes one"},
		{Child(entryDeed, nil, nil), "child deed: it has no function for its arguments"},
		{Child(entryDeed, nil, named), "child web: it has no function for its arguments"},
		{Child(entryDeed, args, &ChildOptions{Liveness: -1}), "child deed: option Liveness is -1ns"},
	} {
		if err := s.Start(c.spec); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	test.Check(t, s.Stop(t.Context()))
}

func TestANilContextPanicsBeforeItHasAnyEffect(t *testing.T) {
	var none context.Context
	s := New(t.Context(), nil)
	for _, call := range []func(){
		func() { New(none, nil) },
		func() { _ = s.Stop(none) },
	} {
		func() {
			defer func() { test.Equal(t, recover(), any("gipc/supervisor: a call got a nil Context")) }()
			call()
		}()
	}
	test.Check(t, s.Start(deedChild("still", "await ctx", ChildOptions{}, gipc.SpawnOptions{})))
	test.Check(t, s.Stop(t.Context()))
}
