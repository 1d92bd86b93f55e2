// Package gateway tests shapes over HTTP: with a reader of its own that trusts nothing, with the clients that
// apps use, unmodified, and with requests that nobody should send.
package gateway

import (
	"math/rand/v2"
	"net"
	"os"
	"strconv"
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

// seeded returns random numbers whose seed the test prints. GATEWAY_SEED sets it.
func seeded(tb testing.TB) *rand.Rand {
	tb.Helper()
	seed := rand.Uint64()
	if env := os.Getenv("GATEWAY_SEED"); env != "" {
		var err error
		if seed, err = strconv.ParseUint(env, 10, 64); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("GATEWAY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
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
