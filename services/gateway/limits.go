package gateway

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// limits bound how many requests are under way.
type limits struct {
	initial, existing *class
	perAddress        int
	bodies            *bodies

	mu        sync.Mutex
	addresses map[string]int // requests under way
}

func newLimits(cfg *Config) *limits {
	return &limits{
		initial: &class{what: "initial", limit: int64(cfg.MaxInitial)}, existing: &class{what: "existing", limit: int64(cfg.MaxExisting)},
		perAddress: cfg.PerAddress, bodies: newBodies(), addresses: map[string]int{},
	}
}

// class is a kind of request.
type class struct {
	what  string
	limit int64
	now   atomic.Int64
}

func (c *class) enter() bool {
	if c.now.Add(1) <= c.limit {
		return true
	}
	c.now.Add(-1)
	return false
}

func (c *class) leave() { c.now.Add(-1) }

// refusal asks the client to come later, not all of them at once.
func (c *class) refusal() error {
	text := fmt.Sprintf("Concurrent %s request limit exceeded (limit: %d), please retry", c.what, c.limit)
	return protocol.Overloaded(http.StatusServiceUnavailable, "concurrent_request_limit_exceeded", text, 6+rand.IntN(5))
}

// ownNetwork is how much of an address of IPv6 tells clients apart: they choose the rest themselves.
const ownNetwork = 64

// clientOf is what tells clients apart in where a request comes from.
func clientOf(remote string) string {
	from, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote // of a listener that has no addresses
	}
	addr := from.Addr().Unmap().WithZone("")
	if addr.Is4() {
		return addr.String()
	}
	return netip.PrefixFrom(addr, ownNetwork).Masked().String()
}

// enter admits a request of an address.
func (l *limits) enter(r *http.Request) (leave func(), err error) {
	if l.perAddress == 0 {
		return func() {}, nil
	}
	host := clientOf(r.RemoteAddr)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.addresses[host] >= l.perAddress {
		return nil, protocol.Overloaded(http.StatusTooManyRequests, "address_limit_exceeded", "Too many requests at once from this address, please retry", 1+rand.IntN(5))
	}
	l.addresses[host]++
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.addresses[host]--; l.addresses[host] == 0 {
			delete(l.addresses, host)
		}
	}, nil
}
