package wire

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/go-gipc/gipc/internal/test"
)

// certificate is a server's that nobody trusts.
var certificate = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// openTLS returns both sides of a TLS connection. Its server sends no tickets: a client that closes before it has read them
// resets the connection, and what it had sent may be lost.
func openTLS(t testing.TB) (server, client *tls.Conn) {
	t.Helper()
	a, b := test.Connected(t, "tcp", "127.0.0.1:0")
	server = tls.Server(a, &tls.Config{Certificates: []tls.Certificate{certificate()}, SessionTicketsDisabled: true})
	client = tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	shaken := test.Started(server.Handshake)
	test.Check(t, client.Handshake())
	test.Check(t, <-shaken)
	return server, client
}

// TestPartialPutOverTLSArrives: a write that met its deadline would break the connection for good.
func TestPartialPutOverTLSArrives(t *testing.T) {
	test.Bounded(t)
	server, client := openTLS(t)
	r, w := newReader(server, marked), newWriter(client, marked)
	large := make([]byte, 16<<20) // more than the sockets hold
	for i := range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		put := test.Started(func() error { return w.Put(ctx, large) })
		test.Eventually(t, "it is being written", func() bool { return w.Stats().Calls == 1 })
		if i > 0 { // the first may be cancelled before the write, too
			one, err := r.Get(t.Context())
			test.Check(t, err)
			test.Equal(t, len(one), 1)
		}
		cancel()
		err := <-put
		test.Is(t, err, context.Canceled)
		arrives := errors.Is(err, ErrPartial)
		small := test.Started(func() error { return w.Put(t.Context(), []byte{1}) })
		if arrives {
			v, err := r.Get(t.Context())
			test.Check(t, err)
			test.Equal(t, len(v), len(large))
		}
		test.Check(t, <-small)
	}
	_, err := r.Get(t.Context())
	test.Check(t, err)
	test.Check(t, w.Close())
	_, err = r.Get(t.Context())
	test.Equal(t, err, io.EOF)
	test.Check(t, r.Close())
}
