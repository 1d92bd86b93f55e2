package term

import (
	"bytes"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		Count(-1234567): "-1,234,567", Count(uint64(999)): "999",
		Plural(1, "row"): "1 row", Plural(1000, "row"): "1,000 rows",
		Rate(500, 250*time.Millisecond): "2,000/s", Rate(5, 0): "0/s",
		Size(512): "512 B", Size(3 << 20): "3.0 MiB", Size(-(80 << 20)): "-80 MiB",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{"plain é": "plain é", "a\nb\tc\r": `a\nb\tc\r`, "\x1b[2J": `\x1b[2J`, "\u009b": `\x9b`} {
		if got := Printable(in); got != want {
			t.Errorf("%q → %s, want %s", in, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct {
		in    string
		width int
		want  string
	}{{"abc", 0, "abc"}, {"abc", 3, "abc"}, {"äbc", 2, "äb…"}, {"äö", 3, "äö"}} {
		if got := Cut(c.in, c.width); got != c.want {
			t.Errorf("%s at %d → %s, want %s", c.in, c.width, got, c.want)
		}
	}
}

func TestProgressIsSilentElsewhere(t *testing.T) {
	now := time.Now()
	var out bytes.Buffer
	p := NewProgress(&out, false)
	if p.Due(now) {
		t.Error("it is due without a terminal")
	}
	p.Draw(now, "x")
	p.Clear()
	if out.Len() > 0 {
		t.Errorf("it wrote %q", out.String())
	}
	p = NewProgress(&out, true)
	p.Draw(now, "%d rows", 5)
	if p.Due(now) || !p.Due(now.Add(time.Second)) {
		t.Error("it is due at the wrong time")
	}
	p.Clear()
	p.Clear()
	if got, want := out.String(), "\r\x1b[K5 rows\r\x1b[K"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
