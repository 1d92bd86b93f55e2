//go:build unix

package coalesce

import (
	"errors"
	"io"
	"net"
	"syscall"
)

// socket is what net.Conn hides: reading without waiting, and how much must
// come in before a waiting reader is woken.
type socket struct{ raw syscall.RawConn }

func newSocket(conn net.Conn) *socket {
	s, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return &socket{raw}
}

// tryRead reads what is there; 0 without an error if nothing is.
func (s *socket) tryRead(p []byte) (n int, err error) {
	rawErr := s.raw.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.Read(int(fd), p)
			if !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case errors.Is(err, syscall.EAGAIN):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// wakeAt is a hint to the kernel; where it refuses, there are only more wake-ups.
func (s *socket) wakeAt(bytes int) {
	_ = s.raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
	})
}
