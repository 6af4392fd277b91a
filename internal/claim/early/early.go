// Package early is for a test: it starts a program when it is initialised, as packages do that know nothing of gipc, and before most of
// gipc is.
package early

import (
	"os"
	"os/exec"
	"strconv"
)

// Variable is the environment variable that names the file into which the program's pid is written.
const Variable = "GIPC_TEST_EARLY"

func init() {
	path := os.Getenv(Variable)
	if path == "" {
		return
	}
	cmd := exec.Command("sleep", "1000")
	err := cmd.Start()
	if err == nil {
		err = os.WriteFile(path, []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
	}
	if err != nil {
		panic(err)
	}
}
