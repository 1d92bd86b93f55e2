// Package term is how commands write for people: colours, a line of progress, numbers and sizes, and text that is safe to
// show on a terminal. It writes nothing but what it is given, and knows no flags.
package term

// Palette colours text on a terminal. The zero Palette leaves it plain.
type Palette struct{ On bool }

// Bold makes text stand out.
func (p Palette) Bold(s string) string { return p.paint("1", s) }

// Dim makes text stand back.
func (p Palette) Dim(s string) string { return p.paint("2", s) }

// Red is for what is wrong.
func (p Palette) Red(s string) string { return p.paint("31", s) }

// Green is for what is right.
func (p Palette) Green(s string) string { return p.paint("32", s) }

// Yellow is for what wants a look.
func (p Palette) Yellow(s string) string { return p.paint("33", s) }

func (p Palette) paint(code, s string) string {
	if !p.On {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}
