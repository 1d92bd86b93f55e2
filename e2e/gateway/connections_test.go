package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
)

// dial connects to a gateway; the connection is closed when the test ends.
func dial(t *testing.T, base string) *net.TCPConn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		t.Fatalf("tcp gave a %T", conn)
	}
	if err := tcp.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return tcp
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// idleConnections is how many connections do nothing; HOSTILE_CONNECTIONS sets it, up to what the process may open.
func idleConnections(t *testing.T) int {
	t.Helper()
	n := 2000
	if env := os.Getenv("HOSTILE_CONNECTIONS"); env != "" {
		if _, err := fmt.Sscan(env, &n); err != nil {
			t.Fatal(err)
		}
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	if most := (int(files.Cur) - 1000) / 2; most < n { // both ends are here
		t.Logf("%d connections only: this process may open %d files", most, files.Cur)
		n = most
	}
	return n
}

// TestConnectionsThatDoNothing opens many connections of which some say nothing, some half of a request, and some wait after one. A good reader
// is served beside them, and those that do not come to a request are closed.
func TestConnectionsThatDoNothing(t *testing.T) {
	s := stack.Start(t, items)
	s.Gateway.HeadWithin = 3 * time.Second
	base, _ := s.StartGateway()
	await(t, base, values("table", "items", "offset", "-1"))
	silent, slow := dial(t, base), dial(t, base)
	send(t, slow, "GET /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nX-A: ")
	for i := range idleConnections(t) {
		conn := dial(t, base)
		switch i % 3 {
		case 0:
			send(t, conn, "GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
		case 1:
			send(t, conn, "GET /v1/shape?table=items HTTP/1.1\r\nHost")
		}
	}
	r := newReader(base, values("table", "items"), false)
	for !r.live {
		if err := r.step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.rows) != 40 {
		t.Errorf("a good reader has %d rows", len(r.rows))
	}
	// One that sends a byte now and then is not better than one that sends none.
	closed := make(chan struct{})
	go func() {
		for {
			if _, err := slow.Write([]byte("x")); err != nil {
				close(closed)
				return
			}
			select {
			case <-time.After(100 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	}()
	if _, err := io.Copy(io.Discard, silent); err != nil && os.IsTimeout(err) {
		t.Errorf("a connection that says nothing is still open: %v", err)
	}
	select {
	case <-closed:
	case <-time.After(patience):
		t.Error("a request that never ends is still being read")
	}
}

// A client may close its half of the connection behind its request. What it is told then is the answer or nothing, and never an answer without
// a body and headers that a cache would keep.
func TestSocketsThatAreHalfClosed(t *testing.T) {
	s := stack.Start(t, items)
	base, _ := s.StartGateway()
	first := await(t, base, values("table", "items", "offset", "-1"))
	handle := first.header.Get("Electric-Handle")
	for name, target := range map[string]string{
		"the beginning": "table=items&offset=-1",
		"a new shape":   "table=items&offset=-1&where=id%3D7",
		"a long poll":   "table=items&offset=0_inf&live=true&handle=" + handle,
		"a stream":      "table=items&offset=0_inf&live=true&live_sse=true&handle=" + handle,
	} {
		conn := dial(t, base)
		send(t, conn, "GET /v1/shape?"+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			continue
		}
		if resp.StatusCode == http.StatusOK && resp.Header.Get("Electric-Handle") == "" {
			t.Errorf("%s: an answer of nothing: %v", name, resp.Header)
		}
		resp.Body.Close()
	}
}

// TestAStreamThatNobodyReadsIsDropped has clients ask for server-sent events and take none of them while much happens.
func TestAStreamThatNobodyReadsIsDropped(t *testing.T) {
	s := stack.Start(t, items)
	s.Gateway.WriteWithin = 500 * time.Millisecond
	base, _ := s.StartGateway()
	first := await(t, base, values("table", "items", "offset", "-1"))
	const clients = 20
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conns[i] = dial(t, base)
		if err := conns[i].SetReadBuffer(4 << 10); err != nil {
			t.Fatal(err)
		}
		send(t, conns[i], "GET /v1/shape?table=items&offset=0_inf&live=true&live_sse=true&handle="+first.header.Get("Electric-Handle")+" HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	for i := range 40 { // more than sockets hold
		s.Exec(fmt.Sprintf("UPDATE items SET title = repeat('%c', 5000)", 'a'+i%26))
	}
	for i, conn := range conns {
		s.Until(fmt.Sprintf("client %d is dropped", i), func() (bool, error) {
			_, err := io.WriteString(conn, "\n") // fails once the other end is closed, which stands behind what was not read
			return err != nil, nil
		}, func() string { return "it is still being served" })
	}
}

// pipes is a listener whose connections hold nothing: what one end writes waits until the other end reads it.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// TestAnswersThatNobodyReads has clients ask and take nothing of the answer, however small and whatever it is. They are dropped, and do not hold
// a connection for as long as they like.
func TestAnswersThatNobodyReads(t *testing.T) {
	s := stack.Start(t, items)
	listener := newPipes()
	s.Gateway.Listener, s.Gateway.WriteWithin, s.Gateway.ConsoleSecret = listener, 300*time.Millisecond, "a secret of the console"
	s.StartGateway()
	for name, target := range map[string]string{
		"what there is not": "/v1/nothing",
		"a refused request": "/v1/shape?table=items",
		"a shape":           "/v1/shape?table=items&offset=-1",
		"another life":      "/v1/shape?table=items&offset=0_inf&handle=gone",
		"how it goes":       "/v1/health",
		"the root":          "/",
		"the console's api": "/console/api/session",
	} {
		here, there := net.Pipe()
		listener.conns <- there
		if err := here.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		send(t, here, "GET "+target+" HTTP/1.1\r\nHost: x\r\n\r\n")
		for { // nobody reads these either, so they wait until the connection is closed
			if _, err := io.WriteString(here, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); errors.Is(err, io.ErrClosedPipe) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", name, err)
				break
			}
		}
		here.Close()
	}
}

// TestTricksWithRangesAndEncodings asks for parts of answers and in forms that there are not: what comes is the whole answer, in a form that
// was asked for.
func TestTricksWithRangesAndEncodings(t *testing.T) {
	s := stack.Start(t, items)
	base, _ := s.StartGateway()
	q := values("table", "items", "offset", "-1")
	want := await(t, base, q, "Accept-Encoding", "identity").body
	for _, header := range [][]string{
		{"Range", "bytes=0-10"},
		{"Range", "bytes=5-1"},
		{"Range", "bytes=" + strings.Repeat("0-,", 20_000)},
		{"Accept-Encoding", "gzip;q=0"},
		{"Accept-Encoding", "br, deflate"},
		{"Accept-Encoding", "identity;q=0"},
		{"Accept-Encoding", "gzip;q=x"},
		{"Accept-Encoding", strings.Repeat("a,", 20_000)},
		{"If-None-Match", strings.Repeat(`"a",`, 20_000)},
		{"If-Match", `"nothing"`},
		{"If-Range", `"nothing"`},
		{"X-HTTP-Method-Override", "DELETE"},
		{"X-Original-URL", "/"},
		{"Transfer-Encoding", "identity"},
	} {
		r := mustGet(t, base, q, append([]string{"Accept-Encoding", "identity"}, header...)...)
		if r.header.Get("Content-Encoding") != "" {
			t.Errorf("%.60s: it comes as %s", header, r.header.Get("Content-Encoding"))
		}
		if r.status != http.StatusOK || !bytes.Equal(r.body, want) {
			t.Errorf("%.60s: status %d, %d bytes of %d", header, r.status, len(r.body), len(want))
		}
	}
	for name, request := range map[string]string{
		"two lengths":         "POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{} ",
		"a packed body":       "POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nConnection: close\r\n\r\n\x1f\x8b\x08",
		"a header of a space": "GET /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost : x\r\nConnection: close\r\n\r\n",
		"no host":             "GET /v1/shape?table=items&offset=-1 HTTP/1.1\r\nConnection: close\r\n\r\n",
		"a body too deep":     deepBody(),
	} {
		if status := rawStatus(t, base, request); status != http.StatusBadRequest {
			t.Errorf("%s: status %d", name, status)
		}
	}
}

func deepBody() string {
	body := `{"params":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}"
	return fmt.Sprintf("POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

// TestLargeBodiesAreFew has clients begin large requests and never end them. There is room for some; others are asked to come later, and what is
// small is in nobody's way.
func TestLargeBodiesAreFew(t *testing.T) {
	s := stack.Start(t, items)
	base, _ := s.StartGateway()
	await(t, base, values("table", "items", "offset", "-1"))
	refused := 0
	for range 12 {
		conn := dial(t, base)
		send(t, conn, "POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 7999999\r\n\r\n{")
		if err := conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err == nil {
			if refused++; resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("status %d", resp.StatusCode)
			}
			resp.Body.Close()
		}
	}
	if refused == 0 || refused == 12 {
		t.Errorf("%d of 12 were asked to come later", refused)
	}
	if status := rawStatus(t, base, "POST /v1/shape?table=items&offset=-1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"); status != http.StatusOK {
		t.Errorf("a small request: status %d", status)
	}
}
