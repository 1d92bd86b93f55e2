package term

import "strings"

// Printable makes text that others wrote safe to show: control characters, which could drive the terminal, are escaped.
func Printable(s string) string {
	if !strings.ContainsFunc(s, IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case IsControl(r):
			const hex = "0123456789abcdef"
			b.WriteString(`\x`)
			b.WriteByte(hex[r>>4&0xf])
			b.WriteByte(hex[r&0xf])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// IsControl reports whether a terminal may take a character for a command.
func IsControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

// Cut shortens s to width characters and an ellipsis; 0 leaves it whole.
func Cut(s string, width int) string {
	if width <= 0 || len(s) <= width {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > width {
			return s[:i] + "…"
		}
	}
	return s
}
