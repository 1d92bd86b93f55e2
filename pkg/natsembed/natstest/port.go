package natstest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
)

// FreePort finds a TCP port of loopback that nobody listens on, for a server that will be started, perhaps more than once. It is
// none of those that systems give to outgoing connections, one of which might hold it by then.
func FreePort(ctx context.Context) (int, error) {
	const low, high = 15000, 32000
	for range 100 {
		port := low + rand.IntN(high-low)
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("found no free TCP port")
}
