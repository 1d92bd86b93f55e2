package snapshots

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/shapebus/shapebus/pkg/change"
)

// keptBuffer is what a copyReader keeps of its buffers between rows, bytes. A
// larger row gets its own, freed after it.
const keptBuffer = 1 << 20

// copyReader parses COPY's text format as it comes, cut anywhere, and calls f
// once a row. It is an io.Writer.
type copyReader struct {
	f       func(change.Row) error
	row     change.Row
	pending []byte // the start of a row whose end has not come yet
	scratch []byte // values of the current row that held escapes
	rows    int64
	err     error // the first error, of the format or of f
}

func newCopyReader(columns int, f func(change.Row) error) *copyReader {
	return &copyReader{f: f, row: make(change.Row, columns)}
}

// Write takes the next piece of the stream. Rows handed out point into p.
func (c *copyReader) Write(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n := len(p)
	for len(p) > 0 {
		// Line feeds inside values are escaped, so every one ends a row.
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			c.pending = append(c.pending, p...)
			break
		}
		line := p[:end]
		if len(c.pending) > 0 {
			c.pending = append(c.pending, line...)
			line = c.pending
		}
		if c.err = c.take(line); c.err != nil {
			return 0, c.err
		}
		c.pending = keep(c.pending)
		p = p[end+1:]
	}
	return n, nil
}

// close reports a stream that ended inside a row.
func (c *copyReader) close() error {
	if c.err == nil && len(c.pending) > 0 {
		c.err = errors.New("COPY data ended in the middle of a row")
	}
	return c.err
}

func (c *copyReader) take(line []byte) error {
	if err := c.split(line); err != nil {
		return fmt.Errorf("COPY data, row %d: %w", c.rows+1, err)
	}
	if err := c.f(c.row); err != nil {
		return err
	}
	c.rows++
	c.scratch = keep(c.scratch)
	return nil
}

func keep(b []byte) []byte {
	if cap(b) > keptBuffer {
		return nil
	}
	return b[:0]
}

// split fills the row from one line.
func (c *copyReader) split(line []byte) error {
	if len(c.row) == 0 {
		if len(line) != 0 {
			return errors.New("values in a row without columns")
		}
		return nil
	}
	escapes := bytes.IndexByte(line, '\\') >= 0
	if escapes && cap(c.scratch) < len(line) {
		// Values only shrink, so scratch does not move while the row points into it.
		c.scratch = make([]byte, 0, len(line))
	}
	for i := range c.row {
		field := line
		tab := bytes.IndexByte(line, '\t')
		last := i == len(c.row)-1
		switch {
		case last && tab >= 0:
			return fmt.Errorf("more than %d values", len(c.row))
		case !last && tab < 0:
			return fmt.Errorf("%d values, want %d", i+1, len(c.row))
		case !last:
			field, line = line[:tab], line[tab+1:]
		}
		field = slices.Clip(field)
		if escapes && bytes.IndexByte(field, '\\') >= 0 {
			var err error
			if field, err = c.unescape(field); err != nil {
				return fmt.Errorf("value %d: %w", i+1, err)
			}
		}
		c.row[i] = field
	}
	return nil
}

// unescape undoes the escapes that COPY TO writes, and nothing else: an escape
// it never writes means that the stream was misread.
func (c *copyReader) unescape(field []byte) ([]byte, error) {
	if string(field) == `\N` {
		return nil, nil
	}
	start := len(c.scratch)
	for {
		i := bytes.IndexByte(field, '\\')
		if i < 0 {
			c.scratch = append(c.scratch, field...)
			return slices.Clip(c.scratch[start:]), nil
		}
		c.scratch = append(c.scratch, field[:i]...)
		if i+1 == len(field) {
			return nil, errors.New("a lone backslash at the end")
		}
		var b byte
		switch field[i+1] {
		case 'b':
			b = '\b'
		case 'f':
			b = '\f'
		case 'n':
			b = '\n'
		case 'r':
			b = '\r'
		case 't':
			b = '\t'
		case 'v':
			b = '\v'
		case '\\':
			b = '\\'
		default:
			return nil, fmt.Errorf("unknown escape \\%c", field[i+1])
		}
		c.scratch = append(c.scratch, b)
		field = field[i+2:]
	}
}
