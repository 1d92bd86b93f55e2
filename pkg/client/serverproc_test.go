package client_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/natsembed"
)

// serverEnv makes this test binary a NATS server with its store in the
// directory that the variable names.
const serverEnv = "SHAPEBUS_CLIENT_TEST_SERVER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serverEnv); dir != "" {
		if err := serveUntilStdinCloses(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func serveUntilStdinCloses(dir string) error {
	s, err := natsembed.Start(natsembed.Options{Dir: dir, Port: -1})
	if err != nil {
		return err
	}
	defer s.Stop()
	fmt.Println(s.ClientURL())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// serverProcess starts a server in a process of its own, for tests that
// measure this one's memory, and returns its address.
func serverProcess(tb testing.TB) string {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs JetStream; not in -short")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serverEnv+"="+tb.TempDir())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	ok(tb, err)
	stdout, err := cmd.StdoutPipe()
	ok(tb, err)
	ok(tb, cmd.Start())
	tb.Cleanup(func() {
		ok(tb, stdin.Close())
		ok(tb, cmd.Wait())
	})
	url, err := bufio.NewReader(stdout).ReadString('\n')
	ok(tb, err)
	return strings.TrimSpace(url)
}
