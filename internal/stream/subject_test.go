package stream_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
)

// A subject among others is read in order and in full, large messages in one
// piece, and found in by what its headers say.
func TestSubjectReaderAndSeek(t *testing.T) {
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	ctx := t.Context()
	nc, js := natstest.Conn(t)
	const source = topology.Source("main")
	if err := source.EnsureVerdicts(ctx, js, 0, 1); err != nil {
		t.Fatal(err)
	}
	name, subject := source.VerdictStream(0), source.VerdictSubject(0, "set")
	st, err := js.Stream(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	place := func(h nats.Header) (int, error) { return strconv.Atoi(h.Get("Place")) }
	seek := func(beyond int) uint64 {
		t.Helper()
		seq, err := stream.SeekSubject(ctx, st, subject, func(h nats.Header) (bool, error) {
			at, err := place(h)
			return at > beyond, err
		})
		if err != nil {
			t.Fatal(err)
		}
		return seq
	}
	if got := seek(0); got != 1 {
		t.Errorf("in an empty subject the place is %d, want 1", got)
	}
	reader := stream.NewSubjectReader(js, name, subject, 0)
	if _, ok, err := reader.Next(ctx); ok || err != nil {
		t.Errorf("an empty subject has a message (%t), %v", ok, err)
	}

	out, err := stream.OpenAppender(ctx, nc, name, stream.AppenderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	const messages = 700 // more than a batch
	large := bytes.Repeat([]byte("large "), 400_000)
	body := func(i int) []byte {
		if i == 300 {
			return large
		}
		return fmt.Append(nil, "message ", i)
	}
	firsts := make([]uint64, messages)
	for i := range messages {
		for range i % 3 {
			if err := out.Append(ctx, stream.Message{Subject: source.VerdictSubject(0, "other"), Data: []byte("x")}, nil); err != nil {
				t.Fatal(err)
			}
		}
		header := func(at int) nats.Header { return stream.Header("Place", strconv.Itoa(at)) }
		err := out.Append(ctx, stream.Message{Subject: subject, Header: header(i * 10), PartHeader: header(i*10 - 10), Data: body(i)}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		m, ok, err := reader.Next(ctx)
		if err != nil || !ok {
			t.Fatalf("message %d: %t, %v", i, ok, err)
		}
		if at, err := place(m.Header); err != nil || at != i*10 || !bytes.Equal(m.Data, body(i)) {
			t.Fatalf("message %d is at %d with %d bytes, %v", i, at, len(m.Data), err)
		}
		if split := m.First != m.Seq; split != (i == 300) {
			t.Errorf("message %d extends from %d to %d", i, m.First, m.Seq)
		}
		firsts[i] = m.First
	}
	if _, ok, err := reader.Next(ctx); ok || err != nil {
		t.Errorf("another message behind the last (%t), %v", ok, err)
	}
	for _, i := range []int{0, 1, 299, 300, 301, messages - 1} {
		if got := seek(i*10 - 1); i > 0 && got != firsts[i] {
			t.Errorf("the first beyond %d begins at %d, want %d", i*10-1, got, firsts[i])
		}
	}
	if got, want := seek(messages*10), out.Stored()+1; got != want {
		t.Errorf("nothing is beyond the end, and the place is %d, want %d", got, want)
	}

	t.Run("the beginning is gone", func(t *testing.T) {
		if err := st.Purge(ctx, jetstream.WithPurgeSequence(firsts[300]+1)); err != nil {
			t.Fatal(err)
		}
		if got := seek(10); got != firsts[301] && got != firsts[300] {
			t.Errorf("the place is %d", got)
		}
		m, ok, err := stream.NewSubjectReader(js, name, subject, 1).Next(ctx)
		if err != nil || !ok || m.Seq != firsts[301] {
			t.Errorf("the first whole message is at %d (%t), want %d: %v", m.Seq, ok, firsts[301], err)
		}
	})
	t.Run("a message that is not finished waits for its end", func(t *testing.T) {
		part := func(of string, data string) *nats.Msg {
			return &nats.Msg{Subject: subject, Header: nats.Header{topology.HeaderPart: {of}, "Place": {"9999"}}, Data: []byte(data)}
		}
		if _, err := js.PublishMsg(ctx, part("0/2", "a")); err != nil {
			t.Fatal(err)
		}
		if _, ok, err := reader.Next(ctx); ok || err != nil {
			t.Fatalf("it is there (%t), %v", ok, err)
		}
		if _, err := js.PublishMsg(ctx, part("1/2", "b")); err != nil {
			t.Fatal(err)
		}
		if m, ok, err := reader.Next(ctx); !ok || err != nil || string(m.Data) != "ab" {
			t.Errorf("%q (%t), %v", m.Data, ok, err)
		}
	})
}
