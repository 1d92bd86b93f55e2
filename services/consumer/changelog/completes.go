package changelog

import "github.com/shapebus/shapebus/pkg/change"

// Completes reports whether a fragment is the last one of its transaction: the
// tables' last fragments come in the order of their ids. They are not counted, as the log may
// repeat some.
func Completes(table uint32, f *change.Fragment) bool {
	return f.Last && (len(f.Tables) == 0 || table == f.Tables[len(f.Tables)-1])
}
