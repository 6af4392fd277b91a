package supervisor

import (
	"errors"
	"testing"
	"time"

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
