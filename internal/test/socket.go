package test

import (
	"errors"
	"net"
	"testing"
)

// Connected returns the two ends of a socket.
func Connected(t testing.TB, network, address string) (accepted, dialed net.Conn) {
	l, err := net.Listen(network, address)
	Check(t, err)
	defer l.Close()
	dialing := Started(func() error { dialed, err = net.Dial(network, l.Addr().String()); return err })
	accepted, acceptErr := l.Accept()
	Check(t, errors.Join(acceptErr, <-dialing))
	return accepted, dialed
}
