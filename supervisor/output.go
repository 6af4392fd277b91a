package supervisor

import (
	"io"

	"github.com/go-gipc/gipc/internal/output"
)

// serialize makes the output of a child that is about to be added safe for what else writes there: children that have the same
// writer, as those of one ChildSpec do, and this child's incarnation before, if that left a Write behind which blocks.
func (l *loop) serialize(spec *ChildSpec) {
	var known, kin []io.Writer
	for _, c := range l.children {
		known = append(known, c.spec.spawn.Stdout, c.spec.spawn.Stderr)
		if c.spec.opts.Spawn == spec.opts.Spawn {
			kin = append(kin, c.spec.spawn.Stdout, c.spec.spawn.Stderr)
		}
	}
	o := &spec.spawn
	o.Stdout = output.Lock(o.Stdout, known, kin)
	o.Stderr = output.Lock(o.Stderr, append(known, o.Stdout), append(kin, o.Stdout))
}
