package stream_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed/natstest"
)

// answering is JetStream whose direct gets are answered by the test, as no server here can be had to.
func answering(t *testing.T, answers ...*nats.Msg) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, _ := natstest.Conn(t)
	if _, err := nc.Subscribe("fake.>", func(m *nats.Msg) {
		for _, a := range answers {
			_ = nc.PublishMsg(&nats.Msg{Subject: m.Reply, Header: a.Header, Data: a.Data})
		}
	}); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "fake")
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func status(code string) *nats.Msg {
	return &nats.Msg{Header: nats.Header{"Status": {code}, "Description": {"text"}}}
}

func stored(seq, last int) *nats.Msg {
	return &nats.Msg{Data: []byte("x"), Header: nats.Header{
		jetstream.SubjectHeader: {"s"}, jetstream.SequenceHeader: {fmt.Sprint(seq)}, jetstream.LastSequenceHeader: {fmt.Sprint(last)},
		jetstream.TimeStampHeaer: {"2026-01-01T00:00:00Z"}, "Nats-Num-Pending": {"0"},
	}}
}

// What a server says, and what of it is lost on the way, is told apart: none is what a server says, never what did not come.
func TestWhatABatchBrings(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	odd := stored(3, 2)
	odd.Header["Status"] = []string{"204"} // as somebody may have stored it
	unbatched := stored(1, 0)
	delete(unbatched.Header, "Nats-Num-Pending")
	for name, c := range map[string]struct {
		answers []*nats.Msg
		want    int
		err     error
	}{
		"there is none":                    {[]*nats.Msg{status("404")}, 0, nil},
		"all, and the end":                 {[]*nats.Msg{stored(2, 0), odd, stored(5, 3), status("204")}, 3, nil},
		"the end alone":                    {[]*nats.Msg{status("204")}, 0, stream.ErrNoAnswer},
		"the first is lost":                {[]*nats.Msg{stored(3, 2), status("204")}, 0, stream.ErrNoAnswer},
		"one between is lost":              {[]*nats.Msg{stored(2, 0), stored(5, 3), status("204")}, 1, nil},
		"the end is lost":                  {[]*nats.Msg{stored(2, 0)}, 1, nil},
		"nothing comes":                    {nil, 0, stream.ErrNoAnswer},
		"nobody is there":                  {[]*nats.Msg{{Header: nats.Header{"Status": {"503"}}}}, 0, nats.ErrNoResponders},
		"it is of an old server":           {[]*nats.Msg{unbatched}, 0, jetstreamext.ErrBatchUnsupported},
		"somebody else says something":     {[]*nats.Msg{{Data: []byte("x")}}, 0, stream.ErrNoAnswer},
		"a refusal":                        {[]*nats.Msg{status("408")}, 0, errors.New("")},
		"a refusal behind some of a batch": {[]*nats.Msg{stored(2, 0), status("408")}, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, js := answering(t, c.answers...)
			ask := stream.Ask{Subject: "s", From: 1, Messages: 10, Bytes: 1000, Silence: 500 * time.Millisecond}
			got, err := stream.Batch(t.Context(), js, "S", ask, nil)
			if len(got) != c.want || (err == nil) != (c.err == nil) || c.err != nil && c.err.Error() != "" && !errors.Is(err, c.err) {
				t.Errorf("%d messages, %v; want %d, %v", len(got), err, c.want, c.err)
			}
		})
	}
}

func TestABatchEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs JetStream; not in -short")
	}
	nc, js := answering(t)
	ended := make(chan error, 1)
	go func() {
		ask := stream.Ask{Subject: "s", From: 1, Messages: 10, Bytes: 1000, Silence: time.Hour}
		_, err := stream.Batch(t.Context(), js, "S", ask, nil)
		ended <- err
	}()
	time.AfterFunc(100*time.Millisecond, nc.Close)
	select {
	case err := <-ended:
		if err == nil {
			t.Error("it says that there is nothing")
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for an answer on a connection that is closed")
	}
}
