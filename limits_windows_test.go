package gipc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

func TestLimitsThatAJobCannotHold(t *testing.T) {
	for name, limits := range map[string]Limits{
		"CPU": {CPU: time.Second}, "Files": {Files: 10}, "FileSize": {FileSize: 1}, "NoCore": {NoCore: true}, "Cgroup": {Cgroup: "x"},
	} {
		_, err := Spawn(test.Context(t), entryDeed, deedArgs{Do: "nothing"}, &SpawnOptions{Limits: &limits})
		if !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "Limits."+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLimitsOfAJob(t *testing.T) {
	opts := SpawnOptions{Stderr: new(strings.Builder), Limits: &Limits{Memory: 64 << 20, Processes: 4}}
	test.Check(t, spawnIt(t, entryDeed, deedArgs{Do: "nothing"}, &opts).Wait(test.Context(t)))
	test.SkipUnderWine(t, "its jobs hold no limits")
	if e := limited(t, deedArgs{Do: "eat memory at once", N: 1 << 30}, opts); e.Limit != "memory" {
		t.Errorf("limit %q: %v", e.Limit, e)
	}
}
