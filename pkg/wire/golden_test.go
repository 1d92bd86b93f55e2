package wire_test

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/shapebus/shapebus/pkg/wire"
)

var update = flag.Bool("update", false, "rewrite testdata/golden: only together with a new wire.Version, or streams written before cannot be read any more")

// The bytes of every stored form are fixed: streams outlive programs.
func TestStoredFormsAreTheSameByteForByte(t *testing.T) {
	for _, f := range forms() {
		t.Run(f.name, func(t *testing.T) { golden(t, f.name+".txt", annotate(t, f.body)) })
	}
	t.Run("tail", func(t *testing.T) {
		var b strings.Builder
		for _, tail := range sampleTails() {
			fmt.Fprintln(&b, tail)
		}
		golden(t, "tail.txt", b.String())
	})
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the stored form has changed; what is in streams already could not be read any more.\ngot:\n%s\nwant (%s):\n%s", got, path, want)
	}
}

// annotate writes each MessagePack value of a body as a comment and the value's bytes in hexadecimal.
func annotate(t *testing.T, body []byte) string {
	t.Helper()
	var b strings.Builder
	r := bytes.NewReader(body)
	d := msgpack.NewDecoder(r) // reads a bytes.Reader without reading ahead
	for r.Len() > 0 {
		from := len(body) - r.Len()
		v, err := d.DecodeInterface()
		if err != nil {
			t.Fatalf("a generic reader fails at byte %d of %x: %v", from, body, err)
		}
		fmt.Fprintf(&b, "# %s\n", literal(v))
		for value := body[from : len(body)-r.Len()]; len(value) > 0; value = value[min(40, len(value)):] {
			fmt.Fprintln(&b, hex.EncodeToString(value[:min(40, len(value))]))
		}
	}
	return b.String()
}

func literal(v any) string {
	switch v := v.(type) {
	case []any:
		elements := make([]string, len(v))
		for i, e := range v {
			elements[i] = literal(e)
		}
		return "[" + strings.Join(elements, ", ") + "]"
	case map[string]any:
		var b strings.Builder
		for _, k := range []string{
			"kind", "lsn", "payload", "oid", "relation", "reason", // control
			"schema", "name", "identity", "columns", "type", "typemod", // relation
			"seq", "floor_lsn", "floor_seq", "at", "parked", "handles", // checkpoint
			"number", "messages", "values", "op", // base
			"segment", "rows", "size", "snapshot", "snapshot_lsn", "besides", "bytes", "through", "previous", // generation
		} {
			if e, ok := v[k]; ok {
				fmt.Fprintf(&b, ", %s: %s", k, literal(e))
			}
		}
		return "{" + strings.TrimPrefix(b.String(), ", ") + "}"
	case string:
		return fmt.Sprintf("%q", v)
	case nil:
		return "nil"
	}
	return fmt.Sprint(v)
}

// What the golden files hold is what the decoders must read for ever.
func TestGoldenFilesAreRead(t *testing.T) {
	stored := func(name string) []byte {
		text, err := os.ReadFile(filepath.Join("testdata", "golden", name+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		var body []byte
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "#") {
				body, err = hex.AppendDecode(body, []byte(strings.TrimSpace(line)))
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		return body
	}
	for _, f := range forms() {
		if body := stored(f.name); !bytes.Equal(body, f.body) {
			t.Errorf("%s holds %x, want %x", f.name, body, f.body)
		}
	}
	var want strings.Builder
	for _, f := range sampleFragments() {
		want.WriteString(showFragment(&f))
	}
	if got := decodeChanges(t, stored("change")); got != want.String() {
		t.Errorf("change: got\n%swant\n%s", got, want.String())
	}
	if v, err := wire.DecodeVerdict(stored("verdict")); err != nil || !reflect.DeepEqual(v, sampleVerdicts()[0]) {
		t.Errorf("verdict: %+v, %v", v, err)
	}
	if b, err := wire.DecodeBase(stored("base")); err != nil || b != sampleBase() {
		t.Errorf("base: %+v, %v", b, err)
	}
	if g, err := wire.DecodeGeneration(stored("generation")); err != nil || !reflect.DeepEqual(g, sampleGeneration()) {
		t.Errorf("generation: %+v, %v", g, err)
	}
	if r, err := wire.DecodeRelation(stored("relation")); err != nil || r.Diff(sampleRelation()) != "" {
		t.Errorf("relation: %+v, %v", r, err)
	}
}
