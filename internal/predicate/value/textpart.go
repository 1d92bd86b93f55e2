package value

import (
	"bytes"
	"unicode/utf8"
)

// Functions of parts of texts count characters, from 1, and alias the text that they are given.

// offsetOf is where character n begins, counted from 0; the end of the text if it has fewer.
func offsetOf(s []byte, n int64) int {
	i := 0
	for ; n > 0 && i < len(s); n-- {
		_, size := utf8.DecodeRune(s[i:])
		i += size
	}
	return i
}

// LeftPart is left(): the first n characters, or all but the last -n.
func LeftPart(s []byte, n int64) []byte {
	if n < 0 {
		n += int64(utf8.RuneCount(s))
	}
	return s[:offsetOf(s, n)]
}

// RightPart is right(): the last n characters, or all but the first -n.
func RightPart(s []byte, n int64) []byte {
	if n < 0 {
		return s[offsetOf(s, -n):]
	}
	return s[offsetOf(s, int64(utf8.RuneCount(s))-n):]
}

// MiddlePart is substr(): what begins at a character, which may lie before the text, and is so many characters long from there.
func MiddlePart(s []byte, start, length int64) []byte {
	end := start + length
	start = max(start, 1)
	if end <= start {
		return s[:0]
	}
	s = s[offsetOf(s, start-1):]
	return s[:offsetOf(s, end-start)]
}

// TextPosition is strpos(): the character at which the other text begins for the first time, 0 if it does not stand in s.
func TextPosition(s, other []byte) int64 {
	before, _, found := bytes.Cut(s, other)
	if !found {
		return 0
	}
	return int64(utf8.RuneCount(before)) + 1
}

// SplitPart is split_part(): field n between separators, counted from 1, or from the end if it is negative.
func SplitPart(s, separator []byte, n int64) []byte {
	if len(separator) == 0 {
		if n == 1 || n == -1 {
			return s
		}
		return s[:0]
	}
	if n < 0 {
		if n += int64(bytes.Count(s, separator)) + 2; n <= 0 {
			return s[:0]
		}
	}
	for ; ; n-- {
		i := bytes.Index(s, separator)
		switch {
		case n == 1 && i < 0:
			return s
		case n == 1:
			return s[:i]
		case i < 0:
			return s[:0]
		}
		s = s[i+len(separator):]
	}
}

// Reversed has the characters of a text from the last to the first.
func Reversed(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for len(s) > 0 {
		_, size := utf8.DecodeLastRune(s)
		out = append(out, s[len(s)-size:]...)
		s = s[:len(s)-size]
	}
	return out
}

// Trimmed drops the characters of a set from the ends of a text.
func Trimmed(s []byte, set string, left, right bool) []byte {
	if left {
		s = bytes.TrimLeft(s, set)
	}
	if right {
		s = bytes.TrimRight(s, set)
	}
	return s
}
