package main

import (
	"fmt"
	"os"
	"time"
)

// progressPeriod is how often a line of progress is redrawn.
const progressPeriod = 200 * time.Millisecond

// progress is one line on a terminal that is written over and over. Elsewhere it shows nothing.
type progress struct {
	w     *os.File
	on    bool
	drawn time.Time // zero while no line stands there
}

// due reports whether it is time to draw again.
func (p *progress) due(now time.Time) bool { return p.on && now.Sub(p.drawn) >= progressPeriod }

// draw replaces the line.
func (p *progress) draw(now time.Time, format string, args ...any) {
	if !p.on {
		return
	}
	p.drawn = now
	fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
}

// clear removes the line, before other output.
func (p *progress) clear() {
	if p.on && !p.drawn.IsZero() {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.drawn = time.Time{}
	}
}
