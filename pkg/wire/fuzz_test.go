package wire_test

import (
	"bytes"
	"reflect"
	"runtime"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// bounded runs decode and fails when it takes more memory than a body of this size can need: a few hundred bytes for each
// of its own, when every byte is an element of something.
func bounded(t *testing.T, body []byte, decode func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	decode()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(1<<20+256*len(body)); got > most {
		t.Fatalf("%d bytes were allocated to read %d", got, len(body))
	}
}

// seed gives the fuzzer every stored form, whole and cut, so that it starts from real messages.
func seed(f *testing.F) {
	f.Helper()
	for _, s := range forms() {
		f.Add(s.body)
		f.Add(s.body[:len(s.body)/2])
	}
	for _, body := range hostile() {
		if len(body) < 1<<10 { // large seeds make slow fuzzers
			f.Add(body)
		}
	}
}

// What a decoder accepts, it has understood: written again and read again it must be the same.
func FuzzDecodeChanges(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var fragments []change.Fragment
		var got string
		var err error
		bounded(t, body, func() {
			var d wire.ChangeDecoder
			err = d.Decode(body, func(*change.Fragment) error { return nil })
		})
		if err != nil {
			return
		}
		var d wire.ChangeDecoder
		message, ops := wire.NewChangeBuilder(), wire.NewFragmentBuilder()
		if err := d.Decode(body, func(f *change.Fragment) error {
			fragments = append(fragments, *f)
			got += showFragment(f)
			for i := range f.Ops {
				ops.Add(&f.Ops[i])
			}
			message.Add(f, ops)
			return nil
		}); err != nil {
			t.Fatalf("the second reading failed: %v", err)
		}
		if len(fragments) > 0 {
			if again := decodeChanges(t, message.Bytes()); again != got {
				t.Fatalf("read\n%swritten and read again\n%s", got, again)
			}
		}
	})
}

func FuzzDecodeLog(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		bounded(t, body, func() {
			var d wire.LogDecoder
			//nolint:errcheck // most bodies are malformed; what counts is that reading them ends well
			d.Decode(body, func(*wire.Entry) error { return nil })
		})
	})
}

func FuzzDecodeSegment(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var rows []change.Row
		var err error
		bounded(t, body, func() {
			err = wire.DecodeSegment(body, func(r change.Row) error {
				rows = append(rows, nil)
				return nil
			})
		})
		if err != nil || len(rows) == 0 {
			return
		}
		b := wire.NewSegmentBuilder()
		var got, again string
		collect := func(into *string, then func(change.Row)) func(change.Row) error {
			return func(r change.Row) error {
				*into += show(r) + "\n"
				then(r)
				return nil
			}
		}
		if err := wire.DecodeSegment(body, collect(&got, b.Add)); err != nil {
			t.Fatalf("the second reading failed: %v", err)
		}
		if err := wire.DecodeSegment(b.Bytes(), collect(&again, func(change.Row) {})); err != nil || again != got {
			t.Fatalf("read\n%swritten and read again\n%s%v", got, again, err)
		}
	})
}

func FuzzDecodeControl(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var c wire.Control
		var err error
		bounded(t, body, func() { c, err = wire.DecodeControl(body) })
		if err == nil {
			if again, err := wire.DecodeControl(must(wire.EncodeControl(c))); err != nil || again != c {
				t.Fatalf("read %+v, written and read again %+v, %v", c, again, err)
			}
		}
		//nolint:errcheck // only the memory is looked at
		bounded(t, body, func() {
			wire.DecodeCheckpoint(body)
			wire.DecodeRelation(body)
		})
	})
}

func FuzzDecodeVerdict(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		var v *wire.Verdict
		var values wire.Deltas
		var err, valuesErr error
		bounded(t, body, func() {
			v, err = wire.DecodeVerdict(body)
			values, valuesErr = wire.DecodeBaseValues(body)
			_, _ = wire.DecodeBase(body)
			_, _ = wire.DecodeGeneration(body)
		})
		if err == nil {
			if again, err := wire.DecodeVerdict(wire.EncodeVerdict(v)); err != nil || !reflect.DeepEqual(again, v) {
				t.Fatalf("read %+v, written and read again %+v, %v", v, again, err)
			}
		}
		if valuesErr == nil {
			if again, err := wire.DecodeBaseValues(wire.EncodeBaseValues(values)); err != nil || !again.Equal(values) {
				t.Fatalf("read %+v, written and read again %+v, %v", values, again, err)
			}
		}
	})
}

func FuzzParseTail(f *testing.F) {
	for _, tail := range sampleTails() {
		f.Add(tail.String())
	}
	f.Add("0_0 0_0 new 0 0")
	f.Fuzz(func(t *testing.T, text string) {
		tail, err := wire.ParseTail(text)
		if err != nil {
			return
		}
		if again, err := wire.ParseTail(tail.String()); err != nil || again != tail {
			t.Fatalf("%q reads as %+v, which prints as %q and reads as %+v, %v", text, tail, tail, again, err)
		}
	})
}

// hostile bodies claim more than they hold, in every place where a length stands.
func hostile() [][]byte {
	var all [][]byte
	for _, code := range []byte{0xdb, 0xdd, 0xdf, 0xc6, 0xc9} { // str32, array32, map32, bin32, ext32
		huge := []byte{code, 0xff, 0xff, 0xff, 0xff}
		all = append(all,
			append([]byte{wire.Version}, huge...),
			append([]byte{wire.Version, 0x99, 1, 1, 1}, huge...),                                              // a fragment's relation
			append([]byte{wire.Version, 0x99, 1, 1, 1, 0xa0, 0, 0, 0}, huge...),                               // its tables
			append([]byte{wire.Version, 0x99, 1, 1, 1, 0xa0, 0, 0, 0, 0x90}, huge...),                         // its ops
			append([]byte{wire.Version, 0x99, 1, 1, 1, 0xa0, 0, 0, 0, 0x90, 0x91, 0x95, 0, 1, 0xc2}, huge...), // a row
			append([]byte{wire.Version, 0x97, 1, 1, 1, 1, 0xc2, 0}, huge...),                                  // a log entry's ops
			append([]byte{wire.Version, 0x97, 4, 1, 1, 1, 0xc2, 0}, huge...),                                  // a unit's ops
			append([]byte{wire.Version, 0x92, 3}, huge...),                                                    // a reason
			append([]byte{wire.Version, 0x95, 1, 1, 1, 0xc2}, huge...),                                        // a verdict's deltas
			append([]byte{wire.Version, 0x95, 1, 1, 1, 0xc2, 0x91, 0x92}, huge...),                            // a key
			append([]byte{wire.Version, 0x81, 0xa4, 'k', 'i', 'n', 'd'}, huge...),
			append([]byte{wire.Version, 0x81, 0xa7, 'c', 'o', 'l', 'u', 'm', 'n', 's'}, huge...), // a relation's columns
			append([]byte{wire.Version, 0x81, 0xa1, 'x'}, huge...),                               // a key that nobody knows
		)
	}
	return append(all,
		nil, []byte{wire.Version}, []byte{0}, []byte{0xcc}, []byte{wire.Version, 0xc1},
		append([]byte{wire.Version, 0x81, 0xa1, 'x'}, bytes.Repeat([]byte{0x91}, 1<<16)...), // nested very deep
		append([]byte{wire.Version}, bytes.Repeat([]byte{0xdc, 0xff, 0xff}, 1<<14)...),
		append([]byte{wire.Version, 0xdd, 0, 1, 0, 0}, bytes.Repeat([]byte{0xc0}, 1<<16)...),
	)
}
