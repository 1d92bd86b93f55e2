//go:build !unix

package coalesce

import "net"

// socket is not there on this system: reads are not coalesced.
type socket struct{}

func newSocket(net.Conn) *socket { return nil }

func (*socket) tryRead([]byte) (int, error) { return 0, nil }

func (*socket) wakeAt(int) {}
