// Package gateway tests shapes over HTTP: with a reader of its own that trusts nothing, with the clients that
// apps use, unmodified, and with requests that nobody should send.
package gateway

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestMain(m *testing.M) {
	proc.ServeNATS()
	code := pgtest.Main(m)
	built.Remove()
	os.Exit(code)
}

// listenAgain listens where a gateway was that has stopped.
func listenAgain(tb testing.TB, base string) net.Listener {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		tb.Fatal(err)
	}
	return l
}
