package client

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
)

// A kept snapshot is snapshotMagic, a header in JSON behind its length, the values of all rows one
// after the other, and a CRC-32 of everything before it, big-endian. A value is 0 for NULL, 1 for
// one that was left alone (see Row.Unchanged), else its length + 2 and itself. Lengths are unsigned
// LEB128 numbers.
const snapshotMagic = "shapebus view 1\n"

// maxSnapshotHeader bounds what is believed of a header's length.
const maxSnapshotHeader = 16 << 20

type snapshotHeader struct {
	Position Position         `json:"position"`
	LSN      uint64           `json:"lsn"`
	Passed   uint64           `json:"passed"`
	Columns  []control.Column `json:"columns"`
	Rows     uint64           `json:"rows"`
}

// errSnapshotFile is wrapped by all errors about what a kept snapshot holds.
var errSnapshotFile = errors.New("not a whole kept snapshot")

// WriteTo writes the snapshot in a form that ReadSnapshot reads.
func (s Snapshot) WriteTo(w io.Writer) (int64, error) {
	l := s.layout
	if l == nil {
		return 0, errors.New("keep a snapshot: it is not one of a view")
	}
	header, err := json.Marshal(snapshotHeader{Position: s.Position, LSN: uint64(s.LSN), Passed: uint64(s.passed), Columns: l.Columns, Rows: uint64(len(s.Rows))})
	if err != nil {
		return 0, fmt.Errorf("keep a snapshot: %w", err)
	}
	sum := crc32.NewIEEE()
	count := &counter{w: w}
	b := bufio.NewWriter(io.MultiWriter(count, sum))
	lead := binary.AppendUvarint([]byte(snapshotMagic), uint64(len(header)))
	_, _ = b.Write(append(lead, header...)) // b keeps the first error
	var scratch []byte
	for _, r := range s.Rows {
		for _, v := range event.ValuesOf(r) {
			switch {
			case v == nil:
				scratch = append(scratch[:0], 0)
			case change.IsUnchanged(v):
				scratch = append(scratch[:0], 1)
			default:
				scratch = append(binary.AppendUvarint(scratch[:0], uint64(len(v))+2), v...)
			}
			_, _ = b.Write(scratch)
		}
	}
	if err := b.Flush(); err != nil {
		return count.n, fmt.Errorf("keep a snapshot: %w", err)
	}
	if err := binary.Write(count, binary.BigEndian, sum.Sum32()); err != nil {
		return count.n, fmt.Errorf("keep a snapshot: %w", err)
	}
	return count.n, nil
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// ReadSnapshot reads what Snapshot.WriteTo wrote. A file that was cut off or damaged is an error;
// read the shape from its beginning then.
func ReadSnapshot(r io.Reader) (*Snapshot, error) {
	in := &summed{r: bufio.NewReader(r), sum: crc32.NewIEEE()}
	s, err := readSnapshot(in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errSnapshotFile, err)
	}
	return s, nil
}

func readSnapshot(in *summed) (*Snapshot, error) {
	magic, err := in.take(uint64(len(snapshotMagic)))
	if err != nil {
		return nil, err
	}
	if string(magic) != snapshotMagic {
		return nil, errors.New("it does not begin as one")
	}
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return nil, err
	}
	if size > maxSnapshotHeader {
		return nil, fmt.Errorf("a header of %d bytes", size)
	}
	data, err := in.take(size)
	if err != nil {
		return nil, err
	}
	var h snapshotHeader
	if err := json.Unmarshal(data, &h); err != nil {
		return nil, err
	}
	if len(h.Columns) == 0 {
		return nil, errors.New("no columns")
	}
	s := &Snapshot{Position: h.Position, LSN: LSN(h.LSN), passed: LSN(h.Passed), layout: event.NewLayout(h.Columns)}
	for range h.Rows {
		row := make(change.Row, len(h.Columns))
		for i := range row {
			if row[i], err = in.value(); err != nil {
				return nil, err
			}
		}
		s.Rows = append(s.Rows, event.NewRow(s.layout, row, false))
	}
	want := in.sum.Sum32()
	var got uint32
	if err := binary.Read(in.r, binary.BigEndian, &got); err != nil {
		return nil, err
	}
	if got != want {
		return nil, errors.New("its checksum is wrong")
	}
	return s, nil
}

// summed reads and sums up what it has read.
type summed struct {
	r   *bufio.Reader
	sum interface {
		io.Writer
		Sum32() uint32
	}
}

func (s *summed) ReadByte() (byte, error) {
	b, err := s.r.ReadByte()
	if err == nil {
		_, _ = s.sum.Write([]byte{b})
	}
	return b, err
}

// take reads n bytes, in memory that grows with what is there and not with what n claims.
func (s *summed) take(n uint64) ([]byte, error) {
	var b bytes.Buffer
	if n > 1<<32 {
		return nil, fmt.Errorf("a value of %d bytes", n)
	}
	if _, err := io.CopyN(&b, s.r, int64(n)); err != nil {
		return nil, err
	}
	_, _ = s.sum.Write(b.Bytes())
	return b.Bytes(), nil
}

func (s *summed) value() ([]byte, error) {
	n, err := binary.ReadUvarint(s)
	switch {
	case err != nil:
		return nil, err
	case n == 0:
		return nil, nil
	case n == 1:
		return change.Unchanged(), nil
	}
	v, err := s.take(n - 2)
	if v == nil && err == nil {
		v = []byte{} // not NULL
	}
	return v, err
}

// shown is what a view shows that begins with the snapshot.
func (s Snapshot) shown(hasKey bool) shown {
	l := s.layout
	if l == nil && len(s.Rows) > 0 {
		l = event.LayoutOf(s.Rows[0])
	}
	if l == nil {
		return shown{}
	}
	t := newTable(l, hasKey)
	t.load(s.Rows)
	return shown{handle: s.Position.Handle, table: t, offset: s.Position.Offset, lsn: s.LSN, passed: s.passed}
}
