package pool

import (
	"errors"
	"os"
)

func killSelf() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill()
	}
	select {}
}

func stopSelf() {}

func terminateSelf() {}

func stop(int) error { return errors.ErrUnsupported }

func cont(int) error { return errors.ErrUnsupported }
