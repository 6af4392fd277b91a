//go:build !goexperiment.jsonv2

package codecs

import (
	"errors"

	"github.com/go-gipc/gipc/bench/internal/work"
)

func experiments() []work.Rival { return []work.Rival{noJSONv2{}} }

// noJSONv2 is the row of a package that this build doesn't have.
type noJSONv2 struct{}

func (noJSONv2) Name() string    { return "encoding/json/v2" }
func (noJSONv2) About() string   { return "reflection" }
func (noJSONv2) Version() string { return work.Version("") }

func (noJSONv2) Open(w work.Workload) (work.Session, error) {
	if !w.Codecs {
		return nil, work.ErrNotOffered
	}
	return nil, &work.MissingError{Tool: "encoding/json/v2", Install: "GOEXPERIMENT=jsonv2 go run .", Err: errors.New("an experiment of Go")}
}
