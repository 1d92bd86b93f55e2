package stream_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
)

// headerRoom is what the appender leaves for headers of the server's maximum payload.
const headerRoom = 2 << 10

func TestMessagesOfAnySizeArriveWhole(t *testing.T) {
	const payload = 16 << 10
	const limit = payload - headerRoom
	b := newBench(t, natsembed.Options{MaxPayload: payload}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{})
	sizes := []struct{ size, parts int }{
		{0, 1}, {1, 1}, {limit - 1, 1}, {limit, 1}, {limit + 1, 2}, {2 * limit, 2}, {2*limit + 1, 3}, {3*limit + 1, 4}, {100, 1},
	}
	var want []uint64
	next := uint64(0)
	for i, c := range sizes {
		data := bytes.Repeat([]byte{byte('a' + i)}, c.size)
		header := stream.Header("Sb-Test", strings.Repeat("x", headerRoom-300)) // headers count, and there is room for them
		ok(t, a.Append(b.ctx(), stream.Message{
			Subject: "s.parts", Header: header, PartHeader: stream.Header("Sb-Test", "part"), Data: data,
		}, func(seq uint64) { want = append(want, seq) }))
		clear(data) // the appender must not need it any more
		if len(header) != 1 {
			t.Errorf("Append changed the caller's header to %v", header)
		}
	}
	ok(t, a.Flush(b.ctx()))
	a.Close()

	r := b.reader(1)
	for i, c := range sizes {
		m, err := r.Next(b.ctx())
		ok(t, err)
		if !bytes.Equal(m.Data, bytes.Repeat([]byte{byte('a' + i)}, c.size)) {
			t.Errorf("%d bytes arrive as %d others", c.size, len(m.Data))
		}
		if m.First != next+1 || m.Seq != next+uint64(c.parts) || want[i] != m.Seq {
			t.Errorf("%d bytes stand at %d–%d, reported as %d; want %d–%d", c.size, m.First, m.Seq, want[i], next+1, next+uint64(c.parts))
		}
		if got := m.Header.Get("Sb-Test"); len(got) < 1000 {
			t.Errorf("the last part of %d bytes carries the header %q", c.size, got)
		}
		for seq := m.First; seq < m.Seq; seq++ {
			part, err := b.stream.GetMsg(b.ctx(), seq)
			ok(t, err)
			if part.Header.Get("Sb-Test") != "part" {
				t.Errorf("part %d carries the header %v", seq, part.Header)
			}
		}
		next = m.Seq
	}
}

func TestPartReadsTheHeader(t *testing.T) {
	for text, want := range map[string][2]int{"": {0, 1}, "0/2": {0, 2}, "1/2": {1, 2}, "999/1000": {999, 1000}} {
		if i, n, err := stream.Part(partHeader(text)); err != nil || [2]int{i, n} != want {
			t.Errorf("%q: %d of %d, %v; want %v", text, i, n, err, want)
		}
	}
	for _, text := range []string{"x", "1", "1/", "/1", "2/2", "-1/2", "0/0", "0/-1"} {
		if i, n, err := stream.Part(partHeader(text)); err == nil {
			t.Errorf("%q: %d of %d, want an error", text, i, n)
		}
	}
}

func partHeader(text string) nats.Header {
	if text == "" {
		return nil
	}
	return stream.Header(topology.HeaderPart, text)
}

// Writers die between any two parts; the successor sends the whole message again.
func TestAssemblerDropsWhatAWriterDidNotFinish(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var a stream.Assembler
		for i := range rapid.IntRange(1, 20).Draw(t, "messages") {
			subject := rapid.SampledFrom([]string{"s.a", "s.b"}).Draw(t, "subject")
			count := rapid.IntRange(1, 5).Draw(t, "parts")
			// Of each attempt but the last only a beginning is stored.
			attempts := rapid.SliceOfN(rapid.IntRange(0, count-1), 0, 3).Draw(t, "attempts")
			for attempt, parts := range append(attempts, count) {
				if parts == 0 {
					continue
				}
				want := ""
				for p := range parts {
					data := fmt.Sprintf("%d.%d.%d ", i, attempt, p)
					want += data
					text := ""
					if count > 1 {
						text = fmt.Sprintf("%d/%d", p, count)
					}
					whole, ok, err := a.Add(subject, partHeader(text), []byte(data))
					switch {
					case err != nil:
						t.Fatal(err)
					case ok != (p == count-1):
						t.Fatalf("part %d of %d: whole %t", p, count, ok)
					case ok && string(whole) != want:
						t.Fatalf("got %q, want %q", whole, want)
					case a.Pending() == ok:
						t.Fatalf("part %d of %d: pending %t", p, count, a.Pending())
					}
				}
			}
		}
	})
}

func TestAssemblerRefusesPartsOutOfPlace(t *testing.T) {
	type part struct{ subject, text string }
	for name, parts := range map[string][]part{
		"a part without its beginning":  {{"s.a", "1/2"}},
		"a part left out":               {{"s.a", "0/3"}, {"s.a", "2/3"}},
		"a part that comes again":       {{"s.a", "0/3"}, {"s.a", "1/3"}, {"s.a", "1/3"}},
		"a part on another subject":     {{"s.a", "0/2"}, {"s.b", "1/2"}},
		"a part of another count":       {{"s.a", "0/2"}, {"s.a", "1/3"}},
		"a part behind a whole message": {{"s.a", "0/2"}, {"s.a", ""}, {"s.a", "1/2"}},
		"a header that is none":         {{"s.a", "zero of two"}},
	} {
		t.Run(name, func(t *testing.T) {
			var a stream.Assembler
			for i, p := range parts {
				_, _, err := a.Add(p.subject, partHeader(p.text), []byte("x"))
				if last := i == len(parts)-1; last != (err != nil) {
					t.Errorf("part %d: %v", i, err)
				}
			}
		})
	}
}

// Readers ask for a few MiB at a time, whatever the server takes.
func TestPartsAreBoundedWhereTheServerTakesMore(t *testing.T) {
	b := newBench(t, natsembed.Options{MaxPayload: 8 << 20}, jetstream.StreamConfig{})
	a := b.appender(stream.AppenderConfig{})
	const size = 6 << 20
	ok(t, a.Append(b.ctx(), numbered(1, size), nil))
	ok(t, a.Flush(b.ctx()))
	info, err := b.stream.Info(b.ctx())
	ok(t, err)
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		m, err := b.stream.GetMsg(b.ctx(), seq)
		ok(t, err)
		if len(m.Data) > stream.MaxPart-headerRoom {
			t.Errorf("part %d has %d bytes, more than %d", seq, len(m.Data), stream.MaxPart-headerRoom)
		}
	}
	m, err := b.reader(1).Next(b.ctx())
	ok(t, err)
	if number(m.Data) != 1 || len(m.Data) != size {
		t.Errorf("message %d of %d bytes arrives", number(m.Data), len(m.Data))
	}
	if a.Undivided() != stream.MaxPart-headerRoom {
		t.Errorf("up to %d bytes travel undivided, want %d", a.Undivided(), stream.MaxPart-headerRoom)
	}
}
