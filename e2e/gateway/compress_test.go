package gateway

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/shapebus/shapebus/e2e/stack"
)

// TestAnswersAreCompressedAsAClientTakesThem asks for rows with every kind of header, and for little. What comes says the same each time.
func TestAnswersAreCompressedAsAClientTakesThem(t *testing.T) {
	s := stack.Start(t, items)
	s.Exec("INSERT INTO items SELECT i, 'ann', repeat('a title like others ', 5) FROM generate_series(100, 3000) i")
	base, _ := s.StartGateway()
	rows, few := values("table", "items", "offset", "-1"), values("table", "items", "offset", "-1", "where", "id < 3")
	plain := await(t, base, rows, "Accept-Encoding", "identity")
	little := await(t, base, few, "Accept-Encoding", "identity")
	for accept, want := range map[string]string{
		"identity": "", "gzip": "gzip", "zstd": "zstd", "gzip, deflate, br": "gzip", "gzip, deflate, br, zstd": "zstd", "br": "", "GZIP": "gzip",
		"zstd;q=0, gzip;q=0.5": "gzip", "gzip;q=0": "", "zstd; q=0": "", "gzip;q=nonsense": "", "*": "", strings.Repeat("x,", 10_000) + "gzip": "gzip",
	} {
		r := mustGet(t, base, rows, "Accept-Encoding", accept)
		name := fmt.Sprintf("Accept-Encoding: %.40s", accept)
		if got := r.header.Get("Content-Encoding"); got != want {
			t.Errorf("%s is answered with %q, want %q", name, got, want)
		}
		if n := r.header.Get("Content-Length"); n != strconv.Itoa(len(r.body)) || want != "" && len(r.body) > len(plain.body)/4 {
			t.Errorf("%s: %d bytes of %d, the header says %s", name, len(r.body), len(plain.body), n)
		}
		if text := unpacked(t, want, r.body); !bytes.Equal(text, plain.body) {
			t.Errorf("%s: says %.200s", name, text)
		}
		if !strings.Contains(strings.Join(r.header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%s: a cache is not told that it varies: %v", name, r.header)
		}
		head, err := http.NewRequestWithContext(t.Context(), http.MethodHead, base+"/v1/shape?"+rows.Encode(), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if h, err := do(head, "Accept-Encoding", accept); err != nil || len(h.body) != 0 || h.header.Get("Content-Length") != r.header.Get("Content-Length") {
			t.Errorf("%s: HEAD has %d bytes, %v, %v", name, len(h.body), h.header, err)
		}
		if r := mustGet(t, base, few, "Accept-Encoding", accept); r.header.Get("Content-Encoding") != "" || !bytes.Equal(r.body, little.body) {
			t.Errorf("%s: %d bytes are compressed", name, len(little.body))
		}
	}
}

func unpacked(t *testing.T, encoding string, data []byte) []byte {
	t.Helper()
	var r io.Reader = bytes.NewReader(data)
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(r); err == nil {
			defer d.Close()
		}
		r = d
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
