package topology_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
	"github.com/shapebus/shapebus/pkg/topology"
)

const (
	source   = topology.Source("main")
	patience = 20 * time.Second
)

func skipIfShort(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs JetStream; not in -short")
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func ok(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func ensureAll(ctx context.Context, js jetstream.JetStream, changes topology.ChangeLogConfig, shapes topology.ShapeLogConfig) error {
	_, err := source.EnsureChangeLog(ctx, js, topology.History{}, changes)
	return errors.Join(err, source.EnsureRegistry(ctx, js, 1), source.EnsureShapeLogs(ctx, js, 2, shapes))
}

func TestEnsureMayBeRepeatedAndKeepsWhatIsStored(t *testing.T) {
	skipIfShort(t)
	ctx := within(t)
	_, js := natstest.Conn(t)
	ok(t, ensureAll(ctx, js, topology.ChangeLogConfig{}, topology.ShapeLogConfig{}))
	stored := []string{source.ChangeSubject("public", "tasks"), source.ControlSubject(), source.LogSubject(1, "h"), source.SegmentSubject(1, "h", 1), source.CheckpointSubject(0)}
	for _, subject := range stored {
		if _, err := js.Publish(ctx, subject, []byte(subject)); err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
	}
	for _, bucket := range []string{source.ShapeBucket(), source.RelationBucket(), source.LeaseBucket()} {
		kv, err := js.KeyValue(ctx, bucket)
		ok(t, err)
		if _, err := kv.Put(ctx, "k", []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		ok(t, ensureAll(ctx, js, topology.ChangeLogConfig{}, topology.ShapeLogConfig{}))
	}
	ok(t, ensureAll(ctx, js, topology.ChangeLogConfig{MaxBytes: 1 << 20, MaxAge: time.Hour, HoldPostgres: true}, topology.ShapeLogConfig{MaxBytes: 1 << 20}))

	for _, subject := range stored {
		name, err := js.StreamNameBySubject(ctx, subject)
		ok(t, err)
		st, err := js.Stream(ctx, name)
		ok(t, err)
		if m, err := st.GetLastMsgForSubject(ctx, subject); err != nil || string(m.Data) != subject {
			t.Errorf("%s in %s: %v", subject, name, err)
		}
	}
	st, err := js.Stream(ctx, source.ChangeStream())
	ok(t, err)
	if c := st.CachedInfo().Config; c.Discard != jetstream.DiscardNew || c.MaxBytes != 1<<20 || c.MaxAge != time.Hour {
		t.Errorf("the new settings did not arrive: %+v", c)
	}
}

func TestCheckpointsReplaceOneAnother(t *testing.T) {
	skipIfShort(t)
	ctx := within(t)
	_, js := natstest.Conn(t)
	ok(t, source.EnsureShapeLogs(ctx, js, 1, topology.ShapeLogConfig{}))
	for i := range 3 {
		m := nats.NewMsg(source.CheckpointSubject(0))
		m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
		m.Data = strconv.AppendInt(nil, int64(i), 10)
		if _, err := js.PublishMsg(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	st, err := js.Stream(ctx, source.ShapeStream(0))
	ok(t, err)
	info, err := st.Info(ctx)
	ok(t, err)
	if m, err := st.GetLastMsgForSubject(ctx, source.CheckpointSubject(0)); err != nil || string(m.Data) != "2" || info.State.Msgs != 1 {
		t.Errorf("%d checkpoints are stored: %v", info.State.Msgs, err)
	}
}

// Readers rely on it: a log message comes again on the live subject after it is stored, and tells the log's message before it.
func TestLogMessagesComeAgainOnTheLiveSubject(t *testing.T) {
	skipIfShort(t)
	ctx := within(t)
	nc, js := natstest.Conn(t)
	ok(t, source.EnsureShapeLogs(ctx, js, 2, topology.ShapeLogConfig{}))
	live, err := nc.SubscribeSync(source.LiveSubject(1, "h-1"))
	ok(t, err)
	other, err := nc.SubscribeSync("sb.main.live.>")
	ok(t, err)
	ok(t, nc.Flush())

	publish := func(subject, data string) uint64 {
		m := nats.NewMsg(subject)
		m.Header.Set(topology.HeaderTail, "tail of "+data)
		m.Data = []byte(data)
		ack, err := js.PublishMsg(ctx, m)
		ok(t, err)
		return ack.Sequence
	}
	var last uint64
	for i := range 5 {
		publish(source.LogSubject(1, "h-2"), "another shape's")
		publish(source.SegmentSubject(1, "h-1", 1), "a segment's")
		publish(source.CheckpointSubject(1), "a checkpoint")
		data := fmt.Sprint("message ", i)
		seq := publish(source.LogSubject(1, "h-1"), data)
		m, err := live.NextMsgWithContext(ctx)
		ok(t, err)
		if string(m.Data) != data || m.Header.Get(topology.HeaderTail) != "tail of "+data {
			t.Errorf("%q with %v, want %q", m.Data, m.Header, data)
		}
		if got, prev := m.Header.Get(jetstream.SequenceHeader), m.Header.Get(jetstream.LastSequenceHeader); got != fmt.Sprint(seq) || prev != fmt.Sprint(last) {
			t.Errorf("sequence %s after %s, want %d after %d", got, prev, seq, last)
		}
		last = seq
	}
	ok(t, nc.Flush())
	if n, _, err := other.Pending(); err != nil || n != 10 {
		t.Errorf("%d live messages of the two shapes' 10, %v", n, err)
	}
}

func TestExplainSaysWhatToDo(t *testing.T) {
	if topology.Explain(nil) != nil {
		t.Error("nil is explained")
	}
	if err := errors.New("x"); !errors.Is(topology.Explain(err), err) || topology.Explain(err).Error() != "x" {
		t.Error("an unknown error is changed")
	}
	for _, err := range []error{nats.ErrAuthorization, nats.ErrPermissionViolation, jetstream.ErrJetStreamNotEnabledForAccount, jetstream.ErrNoStreamResponse} {
		got := topology.Explain(fmt.Errorf("create: %w", err))
		if !errors.Is(got, err) || !strings.HasPrefix(got.Error(), "create: ") || len(got.Error()) < len(err.Error())+40 {
			t.Errorf("%v", got)
		}
	}
}

func TestAServerWithoutJetStreamIsExplained(t *testing.T) {
	skipIfShort(t)
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true})
	ok(t, err)
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	ok(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	ok(t, err)
	ctx := within(t)
	_, changes := source.EnsureChangeLog(ctx, js, topology.History{}, topology.ChangeLogConfig{})
	for what, err := range map[string]error{
		"change log": changes, "registry": source.EnsureRegistry(ctx, js, 1), "shape logs": source.EnsureShapeLogs(ctx, js, 1, topology.ShapeLogConfig{}),
	} {
		if err == nil || !strings.Contains(err.Error(), "no JetStream") || !strings.Contains(err.Error(), "--jetstream") {
			t.Errorf("%s: %v, want advice to enable JetStream", what, err)
		}
	}
}

func TestAFullServerIsExplained(t *testing.T) {
	skipIfShort(t)
	ctx := within(t)
	s, err := natsembed.Start(natsembed.Options{Dir: t.TempDir(), MaxStore: 1 << 20})
	ok(t, err)
	t.Cleanup(s.Stop)
	nc, err := s.Connect()
	ok(t, err)
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	ok(t, err)

	if _, err := source.EnsureChangeLog(ctx, js, topology.History{}, topology.ChangeLogConfig{MaxBytes: 1 << 30}); topology.Permanent(err) == nil || !strings.Contains(err.Error(), "--change-log-max-bytes") || !strings.Contains(err.Error(), "1073741824") {
		t.Errorf("a change log larger than the store: %v, want its flag, and that waiting does not help", err)
	}
	ok(t, source.EnsureShapeLogs(ctx, js, 1, topology.ShapeLogConfig{}))
	for err == nil {
		_, err = js.Publish(ctx, source.LogSubject(0, "h"), bytes.Repeat([]byte("x"), 64<<10))
	}
	if err := topology.Explain(err); !strings.Contains(err.Error(), "out of space") {
		t.Errorf("a store that is full: %v, want advice on space", err)
	}
}
