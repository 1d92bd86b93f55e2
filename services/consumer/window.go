package consumer

import "github.com/shapebus/shapebus/internal/stream"

// window holds the last messages of the change log that the main loop has
// read, so that a shape which has caught up to within them can be brought to
// the main loop's place at once. Owned by the main loop.
type window struct {
	limit    int
	messages []stream.Received
	bytes    int
}

func (w *window) add(m stream.Received) {
	w.messages = append(w.messages, m)
	w.bytes += len(m.Data)
	drop := 0
	for w.bytes > w.limit && drop < len(w.messages)-1 {
		w.bytes -= len(w.messages[drop].Data)
		drop++
	}
	if drop > 0 {
		clear(w.messages[:drop])
		w.messages = w.messages[drop:]
	}
}

// clear forgets everything: what comes next does not follow.
func (w *window) clear() { w.messages, w.bytes = nil, 0 }

// from returns the messages from sequence next on, up to the newest: none when
// the caller is as far as the main loop, or further. ok is false when the
// first of them are no longer held.
func (w *window) from(next uint64) (messages []stream.Received, ok bool) {
	for i, m := range w.messages {
		if m.First >= next {
			return w.messages[i:], i > 0 || m.First == next
		}
	}
	return nil, true
}
