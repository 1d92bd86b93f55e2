package wire_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

func sampleRows() []wire.BaseRow {
	return []wire.BaseRow{{Row: "\x021", Value: "\x02x"}, {Row: "", Value: "\x00"}, {Row: "\x02\xff", Value: ""}}
}

func readRows(data []byte) (rows []wire.BaseRow, err error) {
	err = wire.DecodeBaseRows(data, func(row, value []byte) { rows = append(rows, wire.BaseRow{Row: string(row), Value: string(value)}) })
	return rows, err
}

func TestVerdictsAndBasesAreReadBack(t *testing.T) {
	for _, v := range []wire.Verdict{
		{Offset: change.Offset{LSN: 1<<64 - 1, Op: 4}, XID: 1<<32 - 1, Unit: true, Deltas: wire.DeltasOf(wire.Delta{Key: "\x00", Count: -1 << 62}, wire.Delta{Key: "\x02a", Count: 1})},
		{},
	} {
		if got, err := wire.DecodeVerdict(wire.EncodeVerdict(&v)); err != nil || !cmp.Equal(*got, v) {
			t.Errorf("%+v, %v; want %+v", got, err, v)
		}
	}
	for _, rows := range [][]wire.BaseRow{sampleRows(), nil} {
		if got, err := readRows(wire.EncodeBaseRows(rows)); err != nil || !cmp.Equal(got, rows) {
			t.Errorf("%q, %v; want %q", got, err, rows)
		}
	}
	b := wire.Base{Number: 1 << 60, Messages: 2, Values: 3, LSN: 4, Op: 5, Rows: 6, RowMessages: 7, At: 8}
	data, err := wire.EncodeBase(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := wire.DecodeBase(data); err != nil || got != b {
		t.Errorf("%+v, %v; want %+v", got, err, b)
	}
}

// Whatever is cut off or added, nothing is made up.
func TestDamagedRowsOfABaseAreRefused(t *testing.T) {
	whole := wire.EncodeBaseRows(sampleRows())
	for n := range whole {
		if _, err := readRows(whole[:n]); !errors.Is(err, wire.ErrCorrupt) {
			t.Errorf("the first %d of %d bytes: %v", n, len(whole), err)
		}
	}
	if _, err := readRows(append(whole, 1)); !errors.Is(err, wire.ErrCorrupt) {
		t.Errorf("a byte behind its end: %v", err)
	}
}
