package stream

import "sync"

const (
	// ReadAhead is how many bytes of the change log a reader lets the server send in advance.
	ReadAhead = 4 << 20
	// readAheadOnSubjects is the same for readers of subjects, of which a process has one per partition.
	readAheadOnSubjects = 1 << 20
	// leastAhead is what each reader gets, also when others have taken all there is to share.
	leastAhead = 16 << 10
)

// Aheads shares out what many readers of the change log let the server send in advance, so that their
// memory does not follow their number. Safe for concurrent use; the zero value has ReadAhead to share.
type Aheads struct {
	mu    sync.Mutex
	taken int
}

// Take returns the bytes for one more reader: an eighth of all there is to share, or half of what is left of it.
// Give it back when the reader is closed.
func (a *Aheads) Take() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := min(ReadAhead/8, (ReadAhead-a.taken)/2)
	a.taken += n
	return leastAhead + n
}

// Give takes back what a reader had.
func (a *Aheads) Give(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.taken -= n - leastAhead
}
