package limits

import (
	"os"
	"testing"

	"github.com/go-gipc/gipc/internal/test"
)

// What a limit ends looks like other ends, too: only what fits together names it.
func TestTheLimitThatEndedAProcess(t *testing.T) {
	memory, grouped := &Limits{Memory: 1}, &Limits{Memory: 1, Processes: 1, Cgroup: "x"}
	for name, c := range map[string]struct {
		limits *Limits
		ending Ending
		want   string
	}{
		"no limits":                     {nil, Ending{OutOfMemory: true, Events: Events{Killed: 1}, Signal: os.Kill}, ""},
		"ended well":                    {memory, Ending{}, ""},
		"refused memory":                {memory, Ending{OutOfMemory: true}, Memory},
		"refused a thread's stack":      {memory, Ending{NoThread: true}, Memory},
		"another limit":                 {&Limits{Files: 1}, Ending{OutOfMemory: true, NoThread: true}, ""},
		"killed by the kernel":          {grouped, Ending{Signal: os.Kill, Events: Events{Killed: 1}}, Memory},
		"killed by another":             {grouped, Ending{Signal: os.Kill}, ""},
		"failed when another was":       {grouped, Ending{Events: Events{Killed: 1}}, ""},
		"refused by more than a cgroup": {grouped, Ending{OutOfMemory: true}, ""},
		"no thread in its cgroup":       {grouped, Ending{NoThread: true, Events: Events{Refused: 1}}, Processes},
		"no thread elsewhere":           {grouped, Ending{NoThread: true}, ""},
		"failed, refused a process":     {grouped, Ending{Events: Events{Refused: 1}}, ""},
	} {
		t.Run(name, func(t *testing.T) { test.Equal(t, c.limits.EndedBy(c.ending), c.want) })
	}
}
