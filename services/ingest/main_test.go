package ingest

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// natsDir makes the test binary a NATS server with its store there; see otherNATS.
const natsDir = "SHAPEBUS_TEST_NATS_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(natsDir); dir != "" {
		os.Exit(serveNATS(dir))
	}
	os.Exit(pgtest.Main(m))
}

// serveNATS prints the server's URL and serves until its input ends.
func serveNATS(dir string) int {
	s, err := natsembed.Start(natsembed.Options{Dir: dir, Port: -1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.Stop()
	fmt.Println(s.ClientURL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// otherNATS gives the bench a NATS server in a process of its own, so that the
// memory of this one is ingest's.
func (b *bench) otherNATS() {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), natsDir+"="+b.t.TempDir())
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.t.Fatal(err)
	}
	if b.nc, err = nats.Connect(strings.TrimSpace(url)); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(b.nc.Close)
	if b.js, err = jetstream.New(b.nc); err != nil {
		b.t.Fatal(err)
	}
}
