package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// rights is what docs/PROTOCOL.md says that a reader needs.
type rights struct{ publish, subscribe []string }

func readerRights() rights {
	return rights{
		publish:   []string{"$JS.API.DIRECT.GET.SHAPES-test-0", "$JS.API.DIRECT.GET.SHAPES-test-0.>", "$JS.API.STREAM.INFO.SHAPES-test-0", "shapebus.test.shape.create", "shapebus.test.shape.get"},
		subscribe: []string{"sb.test.live.>", "_INBOX.>"},
	}
}

// but is the rights without those that begin with a prefix.
func (r rights) but(prefix string) rights {
	keep := func(all []string) []string {
		kept := []string{"nothing"} // an empty list would allow everything
		for _, s := range all {
			if !strings.HasPrefix(s, prefix) {
				kept = append(kept, s)
			}
		}
		return kept
	}
	return rights{publish: keep(r.publish), subscribe: keep(r.subscribe)}
}

func (r rights) String() string {
	list := func(all []string) string { return `["` + strings.Join(all, `","`) + `"]` }
	return fmt.Sprintf("permissions: {publish: {allow: %s}, subscribe: {allow: %s}}", list(r.publish), list(r.subscribe))
}

// accounts is a server's configuration: the services' user, a reader with its
// rights, and one whose account has no JetStream.
func accounts(readers ...string) string {
	return fmt.Sprintf(`jetstream: {}
accounts: {
  APP: {
    jetstream: enabled
    users: [{user: services, password: s}, %s]
    exports: [{service: "shapebus.>"}]
  }
  PLAIN: {
    users: [{user: plain, password: p}]
    imports: [{service: {account: APP, subject: "shapebus.>"}}]
  }
  OTHER: {
    jetstream: enabled
    users: [{user: other, password: p}]
    imports: [{service: {account: APP, subject: "shapebus.>"}}]
  }
  SYS: {users: [{user: sys, password: s}]}
}
system_account: SYS
`, strings.Join(readers, ", "))
}

func reader(r rights) string { return "{user: reader, password: r, " + r.String() + "}" }

// benchAs is a bench whose client is a given user's.
func benchAs(t *testing.T, s *natstest.Configured, user, password string) *bench {
	t.Helper()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	opts := []nats.Option{nats.ReconnectWait(10 * time.Millisecond), nats.ReconnectJitter(0, 0), nats.MaxReconnects(-1)}
	n := 0
	return newBenchOn(t, nil, func(o ...nats.Option) (*nats.Conn, error) {
		if n++; n == 1 { // the writer's connection is made first
			return s.Connect(append(opts, nats.UserInfo("services", "s"))...)
		}
		return s.Connect(append(opts, nats.UserInfo(user, password))...)
	})
}

// patient is for trouble that is believed after a while.
var patient = client.Options{Recheck: 50 * time.Millisecond, Patience: 500 * time.Millisecond}

// permanent checks that an error says what failed, on what and what to do.
func permanent(t *testing.T, err error, says ...string) {
	t.Helper()
	if _, is := errors.AsType[*client.PermanentError](err); !is {
		t.Fatalf("got %v, want a PermanentError", err)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
}

// What a user may not do stays forbidden, however often it is tried.
func TestWhatIsForbiddenEndsAReader(t *testing.T) {
	t.Parallel()
	full := readerRights()
	for name, c := range map[string]struct {
		without string
		says    []string
	}{
		"direct gets":       {"$JS.API.DIRECT", []string{"$JS.API.DIRECT.GET.SHAPES-test-0", "Publish to"}},
		"the stream's info": {"$JS.API.STREAM", []string{"$JS.API.STREAM.INFO.SHAPES-test-0", "Publish to"}},
		"the live subject":  {"sb.", []string{"sb.test.live.0", "Subscription to"}},
		"inboxes":           {"_INBOX", []string{"_INBOX.", "Subscription to"}},
		"the control plane": {"shapebus.test.shape.get", []string{"shapebus.test.shape.get", "Publish to"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := natstest.StartConfigured(t, accounts(reader(full)))
			b := benchAs(t, s, "reader", "r")
			l := b.newLog(columns, true)
			l.snapshot(1, []string{"1", "a", "x"})
			l.write()
			shape := l.open()
			if name == "the control plane" {
				l = b.newLog(columns, true) // which has no log yet
				shape = l.open()
			}
			s.Reload(accounts(reader(full.but(c.without))))
			// A user's rights are those of when the connection was made.
			again := b.nc.StatusChanged(nats.CONNECTED)
			ok(t, b.nc.ForceReconnect())
			<-again
			v := shape.View(client.ViewOptions{Options: patient})
			defer v.Close()
			permanent(t, ends(t, v), c.says...)
			if _, err := v.Snapshot(); err == nil {
				t.Error("the view still shows rows")
			}
			if !errors.Is(v.Err(), nats.ErrPermissionViolation) {
				t.Errorf("got %v", v.Err())
			}
		})
	}
	for name, says := range map[string]string{"$JS.API.DIRECT": "$JS.API.DIRECT.GET.SHAPES-test-0", "sb.": "sb.test.live.0"} {
		t.Run("what was allowed when reading began: "+name, func(t *testing.T) {
			s := natstest.StartConfigured(t, accounts(reader(full)))
			b := benchAs(t, s, "reader", "r")
			l := b.newLog(columns, true)
			l.snapshot(1, []string{"1", "a", "x"})
			l.write()
			v := l.open().View(client.ViewOptions{Options: patient})
			defer v.Close()
			ok(t, v.WaitReady(t.Context()))
			s.Reload(accounts(reader(full.but(name))))
			permanent(t, ends(t, v), says)
		})
	}
	t.Run("a request to the control plane", func(t *testing.T) {
		s := natstest.StartConfigured(t, accounts(reader(full.but("shapebus"))))
		b := benchAs(t, s, "reader", "r")
		began := time.Now()
		_, err := b.client.Open(t.Context(), "x")
		permanent(t, err, "shapebus.test.shape.get", "Publish to")
		if waited := time.Since(began); waited > 20*time.Second {
			t.Errorf("was told after %s", waited)
		}
	})
}

func TestWhatIsNotThereEndsAReader(t *testing.T) {
	t.Parallel()
	t.Run("an account without JetStream", func(t *testing.T) {
		b := benchAs(t, natstest.StartConfigured(t, accounts(reader(readerRights()))), "plain", "p")
		l := b.newLog(columns, true)
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		permanent(t, ends(t, v), "JetStream", "enable")
	})
	t.Run("an account that does not have the stream", func(t *testing.T) {
		b := benchAs(t, natstest.StartConfigured(t, accounts(reader(readerRights()))), "other", "p")
		l := b.newLog(columns, true)
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		permanent(t, ends(t, v), "SHAPES-test-0", "account")
	})
	t.Run("the connection, when its user was revoked", func(t *testing.T) {
		s := natstest.StartConfigured(t, accounts(reader(readerRights())))
		b := benchAs(t, s, "reader", "r")
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		ok(t, v.WaitReady(t.Context()))
		s.Reload(accounts("{user: someone, password: else}"))
		err := ends(t, v)
		permanent(t, err, "uthorization", "connection")
		if !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the stream, which was deleted while the shape is said to live", func(t *testing.T) {
		b := benchAs(t, natstest.StartConfigured(t, accounts(reader(readerRights()))), "reader", "r")
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		ok(t, v.WaitReady(t.Context()))
		ok(t, b.js.DeleteStream(t.Context(), source.ShapeStream(0)))
		permanent(t, ends(t, v), "SHAPES-test-0")
	})
	t.Run("the stream, and the shape with it", func(t *testing.T) {
		b := benchAs(t, natstest.StartConfigured(t, accounts(reader(readerRights()))), "reader", "r")
		l := b.newLog(columns, true)
		l.snapshot(1)
		l.write()
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		ok(t, v.WaitReady(t.Context()))
		b.forget(l.info.Handle)
		ok(t, b.js.DeleteStream(t.Context(), source.ShapeStream(0)))
		mustRefetch(t, ends(t, v), "deleted")
	})
}

// What may pass is waited for, and the app can see that it does not pass.
func TestTroubleIsTold(t *testing.T) {
	t.Parallel()
	stalls := func(t *testing.T, v *client.View, says string) {
		t.Helper()
		deadline := time.After(60 * time.Second)
		for {
			changed := v.Changed()
			if err := v.Stalled(); err != nil {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("it says %v, want %q", err, says)
				}
				return
			}
			select {
			case <-changed:
			case <-deadline:
				t.Fatal("the view does not tell that it stands still")
			}
		}
	}
	t.Run("when nobody can say whether a snapshot is about to come", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l := b.newLog(columns, true)
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		b.mute()
		stalls(t, v, "no consumer of source")
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		until(t, v, func(s client.Snapshot) bool { return s.Stalled == nil && len(s.Rows) == 1 })
	})
	t.Run("when the stream is away and the control plane too", func(t *testing.T) {
		b := newBench(t, natsembed.Options{})
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		ok(t, v.WaitReady(t.Context()))
		b.mute()
		ok(t, b.js.DeleteStream(t.Context(), source.ShapeStream(0)))
		stalls(t, v, "stream not found")
	})
	t.Run("when the connection is lost", func(t *testing.T) {
		if testing.Short() {
			t.Skip("needs JetStream; not in -short")
		}
		opts := natsembed.Options{Dir: t.TempDir(), Port: -1}
		server, err := natsembed.Start(opts)
		ok(t, err)
		defer func() { server.Stop() }()
		url := server.ClientURL()
		_, err = fmt.Sscanf(url[strings.LastIndex(url, ":")+1:], "%d", &opts.Port)
		ok(t, err)
		b := newBenchOn(t, nil, func(o ...nats.Option) (*nats.Conn, error) {
			return nats.Connect(url, append(o, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))...)
		})
		l := b.newLog(columns, true)
		l.snapshot(1, []string{"1", "a", "x"})
		l.write()
		v := l.open().View(client.ViewOptions{Options: patient})
		defer v.Close()
		ok(t, v.WaitReady(t.Context()))
		b.app.Close()
		back := b.writes.StatusChanged(nats.CONNECTED)
		server.Stop()
		stalls(t, v, "no connection to NATS")
		server, err = natsembed.Start(opts)
		ok(t, err)
		<-back
		b.openAppender()
		l.insert(100)
		until(t, v, func(s client.Snapshot) bool { return s.Stalled == nil && len(s.Rows) == 2 })
	})
}

// TestAPrefixForAnswersIsAnInboxes: to another one nobody answers, and every request would wait until its time is over.
func TestAPrefixForAnswersIsAnInboxes(t *testing.T) {
	server := natstest.Start(t)
	for prefix, fits := range map[string]bool{"": true, "_INBOX.alice": true, "_alice": true, "alice": false, "sb.main.shape": false} {
		var opts []nats.Option
		if prefix != "" {
			opts = append(opts, nats.CustomInboxPrefix(prefix))
		}
		nc, err := server.Connect(opts...)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := client.New(nc, "main"); (err == nil) != fits {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}
