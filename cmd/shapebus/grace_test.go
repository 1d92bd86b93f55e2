package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

func TestRefusedCredentialsAreWaitedForOnce(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	wrong := fmt.Errorf("open: %w", &pg.ConnectError{Err: &pgconn.PgError{Code: "28P01", Message: "password authentication failed"}})
	const most = 10 * time.Second
	t.Run("a service that has never worked ends", func(t *testing.T) {
		var g grace
		if g.waits(wrong, false, most, at(0)) || g.why() != nil {
			t.Error("it waits")
		}
	})
	t.Run("another error ends it", func(t *testing.T) {
		var g grace
		if g.waits(errors.New("the disk is full"), true, most, at(0)) {
			t.Error("it waits")
		}
	})
	t.Run("one that has worked waits and says why, until the grace is over", func(t *testing.T) {
		var g grace
		if !g.waits(wrong, true, most, at(0)) || !errors.Is(g.why(), wrong) {
			t.Errorf("it does not wait, because %v", g.why())
		}
		if !g.waits(nats.ErrAuthorization, false, most, at(9)) {
			t.Error("it does not wait for all of the grace")
		}
		if g.waits(wrong, false, most, at(10)) {
			t.Error("it waits for ever")
		}
	})
	t.Run("credentials that are right give it another grace", func(t *testing.T) {
		var g grace
		g.waits(wrong, true, most, at(0))
		g.works()
		if g.why() != nil {
			t.Error("it is not ready although it works")
		}
		if !g.waits(wrong, true, most, at(100)) {
			t.Error("it does not wait the second time")
		}
	})
}

func TestPostgresMayRefuseForTheGrace(t *testing.T) {
	now := time.Unix(1000, 0)
	for since, ends := range map[time.Time]bool{{}: false, now.Add(-9 * time.Second): false, now.Add(-10 * time.Second): true} {
		err := denied(health.Facts{Denied: since, Postgres: "password authentication failed"}, 10*time.Second, now)
		if (err != nil) != ends {
			t.Errorf("refused since %s: %v", since, err)
		}
	}
}

// A NATS server that wants another password closes its connections; the client comes back with what the file says then.
func TestAPasswordOfNATSIsReadAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a NATS server; not in -short")
	}
	conf := func(password string) string {
		return fmt.Sprintf("authorization { users: [ {user: app, password: %q} ] }", password)
	}
	s := natstest.StartConfigured(t, conf("before"))
	file := filepath.Join(t.TempDir(), "password")
	write := func(password string) {
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	f := natsFlags{User: "app", PasswordFile: file}
	opts, err := f.options()
	if err != nil {
		t.Fatal(err)
	}
	back := make(chan struct{})
	opts = append(opts, nats.ReconnectWait(10*time.Millisecond), nats.ReconnectHandler(func(*nats.Conn) { close(back) }))
	nc, err := s.Connect(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	write("after")
	s.Reload(conf("after"))
	select {
	case <-back:
	case <-time.After(time.Minute):
		t.Fatalf("the client did not come back: %v", nc.LastError())
	}
}
