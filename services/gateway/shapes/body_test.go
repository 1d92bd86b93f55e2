package shapes

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// bodyOf is a body of messages.
func bodyOf(messages ...string) *Body {
	b := &Body{Entries: len(messages)}
	for i, m := range messages {
		if i > 0 {
			b.messages = append(b.messages, ',')
		}
		b.messages = append(b.messages, m...)
		b.ends = append(b.ends, len(b.messages))
	}
	return b
}

func (b *Body) text() string { return string(bytes.Join(b.JSON(), nil)) }

func (b *Body) eventText() string { return string(bytes.Join(copies(b), nil)) }

// copies are the parts of a body's events, which are valid until the next one only.
func copies(b *Body) (all [][]byte) {
	for part := range b.Events() {
		all = append(all, bytes.Clone(part))
	}
	return all
}

func TestFormsOfABody(t *testing.T) {
	b := bodyOf(`{"a":1}`, `{"b":2}`)
	b.UpToDate, b.LSN = true, 16
	if got, want := b.text(), `[{"a":1},{"b":2},{"headers":{"control":"up-to-date","global_last_seen_lsn":"16"}}]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want := "data: {\"a\":1}\n\ndata: {\"b\":2}\n\ndata: {\"headers\":{\"control\":\"up-to-date\",\"global_last_seen_lsn\":\"17\"}}\n\n"
	if got := b.eventText(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if empty := (&Body{UpToDate: true, Next: protocol.Offset{}}); empty.text() != `[{"headers":{"control":"up-to-date","global_last_seen_lsn":"0"}}]` {
		t.Errorf("nothing is %s", empty.text())
	}
	if full := bodyOf(`{"a":1}`); full.text() != `[{"a":1}]` {
		t.Errorf("a full one is %s", full.text())
	}
}

// large is a body of some MiB.
func large() *Body {
	var messages []string
	for i := range 20_000 {
		messages = append(messages, fmt.Sprintf(`{"key":"%d","value":{"id":"%d","title":"the %d. title of a row that is like others"}}`, i, i, i))
	}
	return bodyOf(messages...)
}

// However a body is compressed and cut into parts, it says the same. It is compressed once for all clients.
func TestABodyIsCompressedOnce(t *testing.T) {
	b := large()
	unzipped, err := gzip.NewReader(bytes.NewReader(b.Gzip()))
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(unzipped)
	if err != nil || string(got) != b.text() {
		t.Errorf("gzip: %d bytes of %d, %v", len(got), len(b.text()), err)
	}
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	got, err = decoder.DecodeAll(b.Zstd(), nil)
	if err != nil || string(got) != b.text() {
		t.Errorf("zstd: %d bytes of %d, %v", len(got), len(b.text()), err)
	}
	for name, form := range map[string]func() []byte{"gzip": b.Gzip, "zstd": b.Zstd} {
		if once, again := form(), form(); &once[0] != &again[0] {
			t.Errorf("%s is made for each client", name)
		}
		if n := len(form()); n > len(b.text())/4 {
			t.Errorf("%s takes %d bytes of %d", name, n, len(b.text()))
		}
	}
	// An encoder that was used before says nothing of what it had.
	small := bodyOf(`{"a":1}`)
	if got, err = decoder.DecodeAll(small.Zstd(), nil); err != nil || string(got) != small.text() {
		t.Errorf("zstd: %s %v", got, err)
	}
}

func TestEventsComeInParts(t *testing.T) {
	b := large()
	parts := copies(b)
	if len(parts) < 10 || slices.ContainsFunc(parts, func(p []byte) bool { return len(p) > 2*eventsAtOnce || !bytes.HasSuffix(p, []byte("\n\n")) }) {
		t.Errorf("%d parts", len(parts))
	}
	if n := bytes.Count(bytes.Join(parts, nil), []byte("data: ")); n != b.Entries {
		t.Errorf("%d events of %d messages", n, b.Entries)
	}
}
