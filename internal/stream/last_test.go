package stream_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// lagging is JetStream of which direct gets are answered by another server's stream of the same name, which has stood still, for
// so many requests; its answers are real. Everything else the leader answers.
func lagging(t *testing.T, leader, copyOf *nats.Conn, asks *atomic.Int64) jetstream.JetStream {
	t.Helper()
	const prefix = "lag"
	_, err := leader.Subscribe(prefix+".>", func(m *nats.Msg) {
		api := "$JS.API" + strings.TrimPrefix(m.Subject, prefix)
		if !strings.Contains(api, "DIRECT.GET") || asks.Add(-1) < 0 {
			_ = leader.PublishRequest(api, m.Reply, m.Data)
			return
		}
		inbox := copyOf.NewInbox()
		sub, err := copyOf.SubscribeSync(inbox)
		if err == nil {
			err = copyOf.PublishRequest(api, inbox, m.Data)
		}
		for err == nil {
			var a *nats.Msg
			if a, err = sub.NextMsg(10 * time.Second); err == nil {
				_ = leader.PublishMsg(&nats.Msg{Subject: m.Reply, Header: a.Header, Data: a.Data})
				if a.Header.Get("Status") != "" {
					break
				}
			}
		}
		if err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(leader, prefix)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func TestNewestIsNotToldByACopyThatLags(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	const name = "LAG"
	var conns [2]*nats.Conn
	subjects := make([]string, 700) // more than are asked for at once
	for i := range subjects {
		subjects[i] = fmt.Sprintf("lag.s.%d", i)
	}
	for i := range conns {
		nc, js := natstest.Conn(t)
		conns[i] = nc
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"lag.s.*"}, AllowDirect: true}); err != nil {
			t.Fatal(err)
		}
		write := func(value string, of []string) {
			for _, s := range of {
				if _, err := js.PublishMsgAsync(&nats.Msg{Subject: s, Header: nats.Header{"V": {value}}, Data: []byte(value)}); err != nil {
					t.Fatal(err)
				}
			}
			<-js.PublishAsyncComplete()
		}
		write("old", subjects[:300])
		if i == 0 { // the leader
			write("new", subjects[:1])
			write("new", subjects[500:600])
		}
	}
	var asks atomic.Int64
	js := lagging(t, conns[0], conns[1], &asks)
	read := func(n int64, last func(context.Context, jetstream.JetStream, string, []string, func(*jetstream.RawStreamMsg) error) error, of ...string) (map[string]int, error) {
		asks.Store(n)
		got := map[string]int{}
		seen := map[string]bool{}
		err := last(t.Context(), js, name, of, func(m *jetstream.RawStreamMsg) error {
			if seen[m.Subject] || m.Sequence == 0 || m.Time.IsZero() || m.Header.Get("V") != string(m.Data) {
				t.Errorf("%s comes twice, or as %+v", m.Subject, m)
			}
			seen[m.Subject] = true
			got[string(m.Data)]++
			return nil
		})
		return got, err
	}
	all := map[string]int{"old": 299, "new": 101}
	if got, err := read(1<<40, stream.Last, subjects...); err != nil || maps.Equal(got, all) {
		t.Errorf("the copy does not lag: %v, %v", got, err)
	}
	for _, n := range []int64{0, 1, 3, 1 << 40} {
		if got, err := read(n, stream.Newest, subjects...); err != nil || !maps.Equal(got, all) {
			t.Errorf("a copy that lags for %d requests: %v, %v", n, got, err)
		}
	}
	if got, err := read(1<<40, stream.Newest, subjects[500:600]...); err != nil || got["new"] != 100 {
		t.Errorf("what the copy has nothing of: %v, %v", got, err)
	}
	if got, err := read(0, stream.Newest, slices.Concat(subjects[650:], subjects[:1])...); err != nil || got["new"] != 1 || len(got) != 1 {
		t.Errorf("beside what there is nothing of: %v, %v", got, err)
	}
	if got, err := read(0, stream.Newest, subjects[650:]...); err != nil || len(got) != 0 {
		t.Errorf("what there is nothing of: %v, %v", got, err)
	}
	if _, err := stream.LastFromLeader(t.Context(), js, name, subjects[650]); !errors.Is(err, jetstream.ErrMsgNotFound) {
		t.Errorf("a message that is not there: %v", err)
	}
	if _, err := stream.LastFromLeader(t.Context(), js, "ANOTHER", subjects[0]); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("a stream that is not there: %v", err)
	}
}

// An answer has room for some megabytes. What is behind it is asked for again.
func TestLastMessagesThatAreLargeComeInSeveralAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	const name, n = "LARGE", 30
	_, js := natstest.Conn(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"large.s.*"}, AllowDirect: true}); err != nil {
		t.Fatal(err)
	}
	subjects := make([]string, n+1) // one of them is empty
	for i := range subjects {
		subjects[i] = fmt.Sprintf("large.s.%d", i)
		if i == n {
			break
		}
		if _, err := js.Publish(t.Context(), subjects[i], make([]byte, 500_000)); err != nil {
			t.Fatal(err)
		}
	}
	for what, read := range map[string]func(context.Context, jetstream.JetStream, string, []string, func(*jetstream.RawStreamMsg) error) error{"last": stream.Last, "newest": stream.Newest} {
		seen := map[string]int{}
		err := read(t.Context(), js, name, subjects, func(m *jetstream.RawStreamMsg) error {
			seen[m.Subject]++
			return nil
		})
		if err != nil || len(seen) != n || slices.Max(slices.Collect(maps.Values(seen))) != 1 {
			t.Errorf("%s: %v, %v", what, seen, err)
		}
	}
}
