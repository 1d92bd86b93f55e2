package like

import (
	"bytes"
	"unicode/utf8"
)

// segment is what stands between two % signs: it may begin anywhere. The _ signs at its ends only take characters, as
// the % before them takes what is in between; so what is looked for is its core.
type segment struct {
	lead, trail int    // _ signs before and behind the core
	core        []byte // literal
	wild        *wild  // instead, if there are _ signs within the core
}

// newSegment makes a segment of the literal runs between its _ signs.
func newSegment(runs [][]byte) segment {
	var s segment
	for len(runs) > 1 && len(runs[0]) == 0 {
		runs = runs[1:]
		s.lead++
	}
	for len(runs) > 1 && len(runs[len(runs)-1]) == 0 {
		runs = runs[:len(runs)-1]
		s.trail++
	}
	if len(runs) == 1 {
		s.core = runs[0]
	} else {
		s.wild = newWild(runs)
	}
	return s
}

// find returns where the first text ends that is like the segment, or -1.
func (s *segment) find(text []byte) int {
	begin := skip(text, s.lead)
	if begin < 0 {
		return -1
	}
	rest := text[begin:]
	var n int
	if s.wild != nil {
		n = s.wild.find(rest)
	} else if n = bytes.Index(rest, s.core); n >= 0 {
		n += len(s.core)
	}
	if n < 0 {
		return -1
	}
	end := skip(rest[n:], s.trail)
	if end < 0 {
		return -1
	}
	return begin + n + end
}

func (s *segment) steps() float64 {
	const literal, skipped = 1, 2
	steps := float64(literal)
	if s.wild != nil {
		steps = wildSteps(float64(s.wild.characters))
	}
	if s.lead+s.trail > 0 {
		steps += skipped
	}
	return steps
}

// skip returns the length of the first n characters, or -1 if there are not as many.
func skip(s []byte, n int) int {
	at := 0
	for range n {
		if at == len(s) {
			return -1
		}
		at += runeLen(s[at:])
	}
	return at
}

// wild is a core with _ signs in it. It is found by keeping, for every beginning of it, whether the text read so far ends
// with that: a bit each, brought forward by each character together.
type wild struct {
	characters int
	words      int // of 64 bits, for a bit each
	any        []uint64
	ascii      [utf8.RuneSelf]uint32 // which of masks; 0 is any
	others     map[rune]uint32
	masks      [][]uint64 // where a character may stand
}

const wordBits = 64

func newWild(runs [][]byte) *wild {
	w := &wild{characters: len(runs) - 1}
	for _, run := range runs {
		w.characters += utf8.RuneCount(run)
	}
	w.words = (w.characters + wordBits - 1) / wordBits
	w.any = make([]uint64, w.words)
	at := 0
	for i, run := range runs {
		if i > 0 {
			w.any[at/wordBits] |= 1 << (at % wordBits)
			at++
		}
		at += utf8.RuneCount(run)
	}
	w.masks = [][]uint64{w.any}
	at = 0
	for i, run := range runs {
		if i > 0 {
			at++
		}
		for len(run) > 0 {
			r, n := utf8.DecodeRune(run)
			m := w.maskOf(r)
			m[at/wordBits] |= 1 << (at % wordBits)
			run = run[n:]
			at++
		}
	}
	return w
}

// maskOf is the mask of a character of the pattern.
func (w *wild) maskOf(r rune) []uint64 {
	i := w.index(r)
	if i == 0 {
		i = uint32(len(w.masks))
		w.masks = append(w.masks, append([]uint64(nil), w.any...))
		if r < utf8.RuneSelf {
			w.ascii[r] = i
		} else {
			if w.others == nil {
				w.others = map[rune]uint32{}
			}
			w.others[r] = i
		}
	}
	return w.masks[i]
}

func (w *wild) index(r rune) uint32 {
	if r < utf8.RuneSelf {
		return w.ascii[r]
	}
	return w.others[r]
}

// find returns where the first text ends that is like the core, or -1.
func (w *wild) find(s []byte) int {
	var small [maxWild / wordBits]uint64
	state := small[:]
	if w.words > len(small) {
		state = make([]uint64, w.words)
	}
	state = state[:w.words]
	last, done := w.words-1, uint64(1)<<((w.characters-1)%wordBits)
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			if r, n = utf8.DecodeRune(s[i:]); r == utf8.RuneError && n == 1 {
				r = -1 // no character, and like none but _
			}
		}
		i += n
		mask := w.any
		if r >= 0 {
			mask = w.masks[w.index(r)]
		}
		carry := uint64(1)
		for j := range state {
			next := (state[j]<<1 | carry) & mask[j]
			carry = state[j] >> (wordBits - 1)
			state[j] = next
		}
		if state[last]&done != 0 {
			return i
		}
	}
	return -1
}

// wildSteps is what finding a core of so many characters takes for each byte of a text.
func wildSteps(characters float64) float64 {
	const each, word = 5, 2
	return each + word*(1+characters/wordBits)
}
