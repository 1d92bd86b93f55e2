package proc

import (
	"bytes"
	"os"
	"strings"
	"sync"
)

// Log is what a process wrote to stderr, and to stdout if nobody else reads that. It is safe for
// concurrent use.
type Log struct {
	file string // holds the text, if not ""

	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes what the process writes.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	if l.file != "" {
		text, err := os.ReadFile(l.file)
		if err != nil {
			return err.Error()
		}
		return string(text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines are its lines.
func (l *Log) Lines() []string { return strings.Split(l.String(), "\n") }

// Count is how often it has the text.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }

// Tail is its end.
func (l *Log) Tail() string {
	const last = 60
	lines := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-last):], "\n")
}
