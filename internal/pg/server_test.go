package pg

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

func TestConnectSaysWhatToDo(t *testing.T) {
	good := pgtest.Database(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refused := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		return u.String()
	}
	for name, c := range map[string]struct {
		url       string
		want      string
		temporary bool
	}{
		"nobody listens":   {with(func(u *url.URL) { u.Host = refused; u.User = url.UserPassword("u", "s3cret") }), "connection refused; start the server", true},
		"no such database": {with(func(u *url.URL) { u.Path = "/nope" }), `CREATE DATABASE "nope"`, false},
		"no such role":     {with(func(u *url.URL) { u.User = url.UserPassword("nobody here", "s3cret") }), `CREATE ROLE "nobody here"`, false},
		"no such host":     {with(func(u *url.URL) { u.Host = "no-such-host.invalid:5432" }), "check the host name", true},
		"no TLS":           {with(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "does not speak TLS", false},
		"no socket":        {"host=/does/not/exist user=u dbname=d password=s3cret", "no server socket", true},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := ParseConfig(c.url, "test")
			if err != nil {
				t.Fatal(err)
			}
			_, err = Connect(t.Context(), cfg)
			failure, ok := errors.AsType[*ConnectError](err)
			if !ok || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3cret") || failure.Temporary() != c.temporary {
				t.Errorf("temporary %t: %v", ok && failure.Temporary(), err)
			}
		})
	}
	cfg, err := ParseConfig(good, "test")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Connect(ctx, cfg); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
