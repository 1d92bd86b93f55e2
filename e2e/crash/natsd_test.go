package crash

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/proc"
)

// natsServer is a NATS server in a process of its own, always on one port.
type natsServer struct {
	*proc.NATS

	tb testing.TB
	nc *nats.Conn // the test's
	js jetstream.JetStream
}

func startNATS(tb testing.TB, o options) *natsServer {
	tb.Helper()
	dir := o.natsDir
	if dir == "" {
		dir = tb.TempDir()
	}
	s := &natsServer{NATS: proc.NewNATS(tb, dir), tb: tb}
	s.Store = o.natsStore
	s.start()
	s.nc, s.js = s.Connect(tb)
	return s
}

// start starts it, on what the one before left, and waits until it answers.
func (s *natsServer) start() {
	s.tb.Helper()
	s.Start(s.tb)
	until(s.tb, "NATS answers", func() (bool, error) {
		err := s.Answers(s.tb.Context())
		return err == nil, err
	})
}

// blocks are the files that hold a stream's messages, oldest first.
func (s *natsServer) blocks(stream string) []string {
	s.tb.Helper()
	files, err := filepath.Glob(filepath.Join(s.Messages(stream), "*.blk"))
	if err != nil || len(files) == 0 {
		s.tb.Fatalf("stream %s has no files: %v", stream, err)
	}
	byNumber := func(name string) int {
		n, err := strconv.Atoi(filepath.Base(name[:len(name)-len(".blk")]))
		if err != nil {
			s.tb.Fatal(err)
		}
		return n
	}
	sortBy(files, byNumber)
	return files
}
