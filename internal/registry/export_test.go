package registry

import "time"

// SetWatchSilence changes how long a watcher waits. It returns what puts the old value back.
func SetWatchSilence(d time.Duration) (restore func()) {
	old := watchSilence
	watchSilence = d
	return func() { watchSilence = old }
}

// SetTombstoneAge changes how long markers stay. It returns what puts the old value back.
func SetTombstoneAge(d time.Duration) (restore func()) {
	old := tombstoneAge
	tombstoneAge = d
	return func() { tombstoneAge = old }
}

// Revision is the record's revision in the bucket.
func (s *Shape) Revision() uint64 { return s.revision }

// ListingSilence is how long the end of a bucket is waited for.
const ListingSilence = listingSilence
