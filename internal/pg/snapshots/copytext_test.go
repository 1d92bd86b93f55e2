package snapshots

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
)

// clone copies a row out of the reader's buffers, keeping NULL apart from "".
func clone(row change.Row) change.Row {
	c := make(change.Row, len(row))
	for i, v := range row {
		if v != nil {
			c[i] = append([]byte{}, v...)
		}
	}
	return c
}

// readAll feeds the stream in pieces of the given size (0: in one) and collects rows.
func readAll(stream []byte, columns, piece int) ([]change.Row, error) {
	var rows []change.Row
	r := newCopyReader(columns, func(row change.Row) error {
		rows = append(rows, clone(row))
		return nil
	})
	if piece <= 0 {
		piece = len(stream) + 1
	}
	for len(stream) > 0 {
		n := min(piece, len(stream))
		if _, err := r.Write(bytes.Clone(stream[:n])); err != nil {
			return rows, err
		}
		stream = stream[n:]
	}
	return rows, r.close()
}

// encode writes rows as COPY TO does.
func encode(rows []change.Row) []byte {
	var b []byte
	for _, row := range rows {
		for i, v := range row {
			if i > 0 {
				b = append(b, '\t')
			}
			if v == nil {
				b = append(b, `\N`...)
				continue
			}
			for _, c := range v {
				if i := strings.IndexByte("\b\f\n\r\t\v\\", c); i >= 0 {
					b = append(b, '\\', `bfnrtv\`[i])
				} else {
					b = append(b, c)
				}
			}
		}
		b = append(b, '\n')
	}
	return b
}

func equalRows(a, b []change.Row) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d rows, want %d", len(a), len(b))
	}
	for i := range a {
		for j := range a[i] {
			if !bytes.Equal(a[i][j], b[i][j]) || (a[i][j] == nil) != (b[i][j] == nil) {
				return fmt.Errorf("row %d, value %d: %.100q, want %.100q", i, j, a[i][j], b[i][j])
			}
		}
	}
	return nil
}

func TestCopyTextReadsWhatWasWrittenHoweverItIsCut(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return nil
		}
		return []byte(rapid.StringOfN(rapid.SampledFrom([]rune("ab\\N\t\n\r\b\f\v.ü\x00")), 0, 12, -1).Draw(t, "text"))
	})
	rapid.Check(t, func(t *rapid.T) {
		columns := rapid.IntRange(1, 4).Draw(t, "columns")
		rows := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) change.Row {
			return rapid.SliceOfN(value, columns, columns).Draw(t, "row")
		}), 0, 8).Draw(t, "rows")
		got, err := readAll(encode(rows), columns, rapid.IntRange(0, 9).Draw(t, "piece"))
		if err != nil {
			t.Fatal(err)
		}
		if err := equalRows(got, rows); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCopyTextRefusesWhatCopyNeverWrites(t *testing.T) {
	for stream, want := range map[string]string{
		"a\n":            "1 values, want 2",
		"a\tb\tc\n":      "more than 2 values",
		"a\tb":           "middle of a row",
		"a\tb\\\n":       "lone backslash",
		"a\t\\x41\n":     `unknown escape \x`,
		"a\tb\\N\n":      `unknown escape \N`,
		"a\tb\n\\.\n":    "1 values",
		"a\tb\nc\t\\.\n": `row 2: value 2: unknown escape \.`,
	} {
		if _, err := readAll([]byte(stream), 2, 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q in it", stream, err, want)
		}
	}
}

func TestCopyTextReadsRowsWithoutColumns(t *testing.T) {
	rows, err := readAll([]byte("\n\n\n"), 0, 1)
	if err != nil || len(rows) != 3 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func TestCopyTextStopsAtTheCallersError(t *testing.T) {
	stop := errors.New("stop")
	calls := 0
	r := newCopyReader(1, func(change.Row) error { calls++; return stop })
	if _, err := r.Write([]byte("a\nb\n")); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if _, err := r.Write([]byte("c\n")); !errors.Is(err, stop) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestCopyTextFreesTheBuffersOfLargeRows(t *testing.T) {
	r := newCopyReader(1, func(change.Row) error { return nil })
	for _, p := range []string{strings.Repeat(`\\`, keptBuffer), "x\n", "a\n"} {
		if _, err := io.WriteString(r, p); err != nil {
			t.Fatal(err)
		}
	}
	if kept := cap(r.pending) + cap(r.scratch); kept > 2*keptBuffer {
		t.Errorf("%d bytes kept after a large row", kept)
	}
}

// FuzzCopyText: whatever comes and however it is cut, the reader does not panic,
// gives the same rows and the same verdict, and what it accepts is what those rows would be written as.
func FuzzCopyText(f *testing.F) {
	for _, s := range []string{"", "a\tb\n", "\\N\t\n", "a\\tb\t\\\\N\n", "a\tb", "\t\n\t\n", "\\.\n", "a\t\\"} {
		f.Add([]byte(s), uint8(2), uint8(1))
	}
	f.Fuzz(func(t *testing.T, stream []byte, columns, piece uint8) {
		n := int(columns % 8)
		whole, errWhole := readAll(stream, n, 0)
		cut, errCut := readAll(stream, n, int(piece))
		if (errWhole == nil) != (errCut == nil) {
			t.Fatalf("whole: %v, cut: %v", errWhole, errCut)
		}
		if err := equalRows(cut, whole); err != nil {
			t.Fatal(err)
		}
		if errWhole == nil && !bytes.ContainsAny(stream, "\r\b\f\v") && !bytes.Equal(encode(whole), stream) {
			t.Fatalf("%q was read as %q", stream, encode(whole))
		}
	})
}

func BenchmarkCopyText(b *testing.B) {
	plain := []change.Row{{[]byte("1234567"), []byte("2024-01-02 03:04:05.123456+00"), []byte("some text of a row"), nil, []byte("42.50"), []byte("t")}}
	escaped := []change.Row{{[]byte("1234567"), []byte("2024-01-02 03:04:05.123456+00"), []byte("two\nlines\tof \\text"), nil, []byte("42.50"), []byte("t")}}
	for name, row := range map[string][]change.Row{"plain": plain, "escaped": escaped} {
		b.Run(name, func(b *testing.B) {
			line := encode(row)
			r := newCopyReader(6, func(change.Row) error { return nil })
			b.SetBytes(int64(len(line)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := r.Write(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
