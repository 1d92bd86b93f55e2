package answer

import "unicode/utf8"

// Brief is a text, or so many bytes of its beginning and a mark that there is more.
func Brief(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return Whole(text[:limit]) + " …"
}

// Whole is a text without the part of a character at its end.
func Whole(text string) string {
	for range utf8.UTFMax {
		if r, n := utf8.DecodeLastRuneInString(text); r != utf8.RuneError || n != 1 {
			break
		}
		text = text[:len(text)-1]
	}
	return text
}
