package access

import (
	"bytes"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/predicate/value"
)

func TestPartsOfDifferentKeysDiffer(t *testing.T) {
	seen := map[string]string{}
	for n := range 3 * longestPart {
		for _, last := range []string{"a", "b"} {
			key := strings.Repeat("x", n) + last
			part := AppendPart(nil, []byte(key))
			if len(part) > longestPart+1 {
				t.Errorf("%d bytes take %d", len(key), len(part))
			}
			seen[string(part)] = key
			// What is as long as a part that stands for a longer one, and reads like it.
			seen[string(AppendPart(nil, part[1:]))] = string(part[1:])
			seen[string(AppendPart(nil, part))] = string(part)
		}
	}
	keys := map[string]bool{}
	for _, key := range seen {
		keys[key] = true
	}
	if len(keys) != len(seen) || len(seen) < 9*longestPart {
		t.Errorf("%d keys have %d parts", len(keys), len(seen))
	}
}

// A large row is not paid for by the process until it ends.
func TestBufferGivesBackWhatALargeRowTook(t *testing.T) {
	texts := ElementsKey(0, value.Reading{Kind: value.Text, Domain: value.DomainBytes})
	var b KeyBuffer
	texts.AppendTo(&b, []byte(`{"`+string(bytes.Repeat([]byte("x"), 2<<20))+`"}`))
	texts.AppendTo(&b, append([]byte("{x"), bytes.Repeat([]byte(",x"), 1<<18)...))
	if b.Len() != 2+1<<18 {
		t.Fatalf("%d keys", b.Len())
	}
	b.Reset()
	if b.Len() != 0 || cap(b.bytes) > keptBytes || cap(b.ends)*8 > keptBytes || cap(b.element) > keptBytes {
		t.Errorf("%d keys, and memory for %d bytes, %d keys and an element of %d bytes", b.Len(), cap(b.bytes), cap(b.ends), cap(b.element))
	}
	texts.AppendTo(&b, []byte(`{x,"y"}`))
	if b.Reset(); cap(b.bytes) == 0 || cap(b.ends) == 0 || cap(b.element) == 0 {
		t.Error("what a small row took is given back too")
	}
}
