//go:build unix

package gipc

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-gipc/gipc/internal/claim/early"
	"github.com/go-gipc/gipc/internal/test"
)

// A process that another package starts while this program is initialised holds nothing of what gipc has handed over: the end of its
// parent shows at once.
func TestProcessesOfOtherInitsInheritNothing(t *testing.T) {
	needsPipe(t, "the end of its Writer's process is what shows")
	ctx := test.Context(t)
	path := filepath.Join(t.TempDir(), "pid")
	r, w := stringPipe(t)
	p := spawnIt(t, entryDeed, deedArgs{Do: "put and exit", N: 3, Out: w}, &SpawnOptions{Env: append(os.Environ(), early.Variable+"="+path)})
	test.Equal(t, get(t, ctx, r), "")
	_, err := r.Get(ctx)
	test.Is(t, err, io.ErrUnexpectedEOF)
	<-p.Done()
	pid, err := os.ReadFile(path)
	test.Check(t, err)
	endWithTest(t, string(pid))
}
