package flow

import (
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
)

// pair is a Postgres server and another one that takes over from it. They have the same history
// up to the moment of fork. Everybody reaches them at one address, which leads to one of the two.
type pair struct {
	t     *testing.T
	dir   string
	first *postgres
	at    *address
	url   string
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := pgDir(t)
	p := &pair{t: t, dir: dir}
	p.first = startPostgres(t, filepath.Join(dir, "first"), 0)
	p.at = newAddress(t, p.first.port)
	u, err := url.Parse(p.first.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = p.at.listener.Addr().String()
	p.url = u.String()
	return p
}

// fork leaves a copy of the first server, which goes on. What it commits from now on the other
// one never gets.
func (p *pair) fork(s *stack.Stack) {
	p.t.Helper()
	first := filepath.Join(p.dir, "first")
	p.first.stop()
	p.first.run("cp", "-a", first, filepath.Join(p.dir, "second"))
	p.first = startPostgres(p.t, first, p.first.port)
	s.DB = s.Connect()
}

// failover lets the copy take over, on a timeline of its own. The first server ends, or it goes on
// for those who are connected to it.
func (p *pair) failover(s *stack.Stack, ends bool) {
	p.t.Helper()
	data := filepath.Join(p.dir, "second", "data")
	p.first.run("cp", "-a", filepath.Join(data, "PG_VERSION"), filepath.Join(data, "recovery.signal")) // any file of the right owner
	second := startPostgres(p.t, filepath.Join(p.dir, "second"), 0)
	p.at.lead(second.port)
	if ends {
		if err := p.first.Kill(); err != nil {
			p.t.Fatal(err)
		}
	}
	s.DB = s.Connect()
	s.Until("the other server has taken over", func() (ok bool, err error) {
		err = s.DB.QueryRow(p.t.Context(), "SELECT NOT pg_is_in_recovery()").Scan(&ok)
		return ok, err
	}, func() string { return "it has not" })
}

// address is where a server is reached that may be replaced by another one.
type address struct {
	listener net.Listener

	mu   sync.Mutex
	port int
}

func newAddress(t *testing.T, port int) *address {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	a := &address{listener: l, port: port}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go a.serve(client)
		}
	}()
	return a
}

func (a *address) serve(client net.Conn) {
	a.mu.Lock()
	port := a.port
	a.mu.Unlock()
	server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		_ = client.Close()
		return
	}
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	_, _ = io.Copy(client, server)
	_ = client.Close()
}

// lead makes new connections lead to another server.
func (a *address) lead(port int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.port = port
}
