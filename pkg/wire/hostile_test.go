package wire_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// decoders are all decoders of bodies, without their results.
func decoders() map[string]func([]byte) error {
	return map[string]func([]byte) error{
		"change": func(body []byte) error {
			var d wire.ChangeDecoder
			return d.Decode(body, func(*change.Fragment) error { return nil })
		},
		"log": func(body []byte) error {
			var d wire.LogDecoder
			return d.Decode(body, func(*wire.Entry) error { return nil })
		},
		"segment": func(body []byte) error { return wire.DecodeSegment(body, func(change.Row) error { return nil }) },
		"control": func(body []byte) error {
			_, err := wire.DecodeControl(body)
			return err
		},
		"relation": func(body []byte) error {
			_, err := wire.DecodeRelation(body)
			return err
		},
		"verdict": func(body []byte) error {
			_, err := wire.DecodeVerdict(body)
			return err
		},
		"basevalues": func(body []byte) error {
			_, err := wire.DecodeBaseValues(body)
			return err
		},
		"base": func(body []byte) error {
			_, err := wire.DecodeBase(body)
			return err
		},
		"generation": func(body []byte) error {
			_, err := wire.DecodeGeneration(body)
			return err
		},
		"checkpoint": func(body []byte) error {
			_, err := wire.DecodeCheckpoint(body)
			return err
		},
	}
}

func TestHostileLengthsCostNothing(t *testing.T) {
	for name, decode := range decoders() {
		for _, body := range hostile() {
			bounded(t, body, func() {
				if err := decode(body); err != nil && !errors.Is(err, wire.ErrCorrupt) && !strings.Contains(err.Error(), "upgrade") {
					t.Errorf("%s: %x: %v, want ErrCorrupt", name, body[:min(40, len(body))], err)
				}
			})
		}
	}
}

// Whatever is cut off, the reader notices or has read whole entries only.
func TestCutBodiesAreRefusedOrEndBetweenEntries(t *testing.T) {
	for _, f := range forms() {
		decode := decoders()[strings.SplitN(f.name, "_", 2)[0]]
		if err := decode(f.body); err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		whole := 0
		for n := range f.body {
			switch err := decode(f.body[:n:n]); {
			case err == nil:
				whole++
			case !errors.Is(err, wire.ErrCorrupt):
				t.Errorf("%s cut to %d bytes: %v, want ErrCorrupt", f.name, n, err)
			}
		}
		// One for the bare version and one behind each entry but the last.
		if most := map[string]int{"change": 3, "log": 6, "log_units": 8, "segment": 4}[f.name]; whole > most {
			t.Errorf("%s is accepted when cut in %d places, want at most %d", f.name, whole, most)
		}
	}
}

func TestOtherVersionsAreRefusedWithAdvice(t *testing.T) {
	for _, f := range forms() {
		body := bytes.Clone(f.body)
		body[0] = wire.Version + 1
		err := decoders()[strings.SplitN(f.name, "_", 2)[0]](body)
		if err == nil || errors.Is(err, wire.ErrCorrupt) || !strings.Contains(err.Error(), "version 2") || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%s: %v, want advice to upgrade", f.name, err)
		}
	}
}

func TestDecodersRefuseWhatIsNotTheirForm(t *testing.T) {
	for name, c := range map[string]struct {
		form, says string
		body       []byte
	}{
		"a fragment of another length":        {"change", "fragment has 8 elements, want 9", []byte{1, 0x98, 1, 1, 1, 0xa0, 0, 0, 0, 0x90}},
		"an op of another length":             {"change", "op has 4 elements, want 5", []byte{1, 0x99, 1, 1, 1, 0xa0, 0, 0, 0, 0x90, 0x91, 0x94, 0, 1, 0xc2, 0xc0, 0xc0}},
		"a negative transaction id":           {"change", "negative", []byte{1, 0x99, 0xd0, 0xff, 1, 1, 0xa0, 0, 0, 0, 0x90, 0x90}},
		"a text where a number should stand":  {"change", "0xa0 where an unsigned number", []byte{1, 0x99, 0xa0, 1, 1, 0xa0, 0, 0, 0, 0x90, 0x90}},
		"binary where a text should stand":    {"segment", "0xc4 where a string", []byte{1, 0x91, 0xc4, 1, 'x'}},
		"true where a value should stand":     {"segment", "0xc3 where a string", []byte{1, 0x91, 0xc3}},
		"a time beyond 64 bits":               {"change", "too large", []byte{1, 0x99, 1, 1, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255, 0xa0, 0, 0, 0, 0x90, 0x90}},
		"a log entry of another length":       {"log", "has 3 elements, want 2", []byte{1, 0x93, 3, 0xa0, 0}},
		"an abort entry of another length":    {"log", "has 2 elements, want 1", []byte{1, 0x92, 5, 0}},
		"a verdict of another length":         {"verdict", "verdict has 4 elements, want 5", []byte{1, 0x94, 1, 1, 1, 0xc2}},
		"a delta of another length":           {"verdict", "delta has 3 elements, want 2", []byte{1, 0x95, 1, 1, 1, 0xc2, 0x91, 0x93, 0xa0, 1, 1}},
		"bytes behind a verdict":              {"verdict", "1 bytes behind", []byte{1, 0x95, 1, 1, 1, 0xc2, 0x90, 0}},
		"bytes behind a base's values":        {"basevalues", "1 bytes behind", []byte{1, 0x90, 0}},
		"bytes behind a map":                  {"control", "1 bytes behind it", []byte{1, 0x80, 0}},
		"a control entry that is not a map":   {"control", "control entry", []byte{1, 7}},
		"a relation without replica identity": {"relation", "identity", []byte{1, 0x80}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := decoders()[c.form](c.body); !errors.Is(err, wire.ErrCorrupt) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want ErrCorrupt that says %q", err, c.says)
			}
		})
	}
	t.Run("an entry of a kind that nobody knows yet", func(t *testing.T) {
		if err := decoders()["log"]([]byte{1, 0x91, 99}); err == nil || !strings.Contains(err.Error(), "upgrade") {
			t.Errorf("%v, want advice to upgrade", err)
		}
	})
}

func TestErrorsOfTheCallbackComeBackAsTheyAre(t *testing.T) {
	stop := errors.New("stop")
	var changes wire.ChangeDecoder
	if err := changes.Decode(forms()[0].body, func(*change.Fragment) error { return stop }); !errors.Is(err, stop) || errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("changes: %v", err)
	}
	var log wire.LogDecoder
	if err := log.Decode(forms()[1].body, func(*wire.Entry) error { return stop }); !errors.Is(err, stop) || errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("log: %v", err)
	}
	if err := wire.DecodeSegment(forms()[2].body, func(change.Row) error { return stop }); !errors.Is(err, stop) || errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("segment: %v", err)
	}
}

func TestNullEmptyAndUnchangedStayApart(t *testing.T) {
	row := change.Row{nil, {}, change.Unchanged(), []byte("unchanged TOAST"), []byte("false"), []byte("\xc2")}
	var d wire.ChangeDecoder
	if err := d.Decode(encodeChanges(change.Fragment{Ops: []change.Op{{Old: change.Row{}, New: row}, {}}}), func(f *change.Fragment) error {
		got := f.Ops[0].New
		switch {
		case got[0] != nil:
			t.Errorf("NULL reads as %q", got[0])
		case got[1] == nil || len(got[1]) != 0:
			t.Errorf("the empty string reads as %q (nil: %t)", got[1], got[1] == nil)
		case !change.IsUnchanged(got[2]):
			t.Errorf("an unchanged value reads as %q", got[2])
		case change.IsUnchanged(got[3]):
			t.Error("a text reads as an unchanged value")
		case show(got) != show(row):
			t.Errorf("got %s, want %s", show(got), show(row))
		case f.Ops[0].Old == nil:
			t.Error("a row without columns reads as no row")
		case f.Ops[1].Old != nil || f.Ops[1].New != nil:
			t.Error("no row reads as one")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A decoder is used for the life of a reader: what it read before must not show.
func TestDecodersKeepNothingFromTheMessageBefore(t *testing.T) {
	var changes wire.ChangeDecoder
	var log wire.LogDecoder
	large, small := encodeChanges(sampleFragments()...), encodeChanges(change.Fragment{LSN: 5})
	for _, body := range [][]byte{large, small, large[:len(large)/2], small} {
		got := ""
		//nolint:errcheck // one of the messages is cut
		changes.Decode(body, func(f *change.Fragment) error {
			got += showFragment(f)
			return nil
		})
		if want := showFragment(&change.Fragment{LSN: 5}); bytes.Equal(body, small) && got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
	end := wire.NewLogBuilder()
	end.End("over")
	for _, body := range [][]byte{sampleLog(), end.Finish()} {
		got := ""
		if err := log.Decode(body, func(e *wire.Entry) error {
			got = showEntry(e)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if want := showEntry(&wire.Entry{Kind: wire.EntryEnd, Reason: "over"}); bytes.Equal(body, end.Finish()) && got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

func TestABuilderDoesNotKeepTheSizeOfOneHugeRow(t *testing.T) {
	b := wire.NewSegmentBuilder()
	b.Add(change.Row{make([]byte, 2<<20)})
	b.Reset()
	b.Add(change.Row{nil})
	if n := cap(b.Bytes()); n > 1<<20 {
		t.Errorf("%d bytes are kept after a row of 2 MiB", n)
	}
}
