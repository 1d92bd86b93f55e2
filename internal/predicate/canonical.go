package predicate

import "strconv"

// hasKey reports whether a canonical text is known for values of the kind.
func (k kind) hasKey() bool {
	return k.hasUniqueText() || k.isNumber() || k == kindBpchar || k.isTime()
}

// canonicalCell returns the text of a cell in a form that is equal for equal
// values. It returns most cells as they are.
func canonicalCell(k kind, cell []byte) []byte {
	switch {
	case cell == nil:
		return nil
	case k == kindBpchar:
		return trimBlanks(cell)
	case k == kindNumeric:
		var d decimal
		if parseDecimal(cell, &d) {
			return []byte(d.canonical())
		}
	case k.isFloat():
		if f, err := strconv.ParseFloat(string(cell), floatBits(k)); err == nil {
			return []byte(formatFloat(k, f))
		}
	}
	return cell
}
