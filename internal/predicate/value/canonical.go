package value

import "strconv"

// HasKey reports whether a canonical text is known for values of the kind.
func (k Kind) HasKey() bool {
	return k.HasUniqueText() || k.IsNumber() || k == Bpchar || k.IsTime() || k == Cidr || k == NumRange
}

// CanonicalText returns the text of a cell in a form that is equal for equal
// values. It returns most cells as they are.
func CanonicalText(k Kind, cell []byte) []byte {
	switch {
	case cell == nil:
		return nil
	case k == Bpchar:
		return TrimBlanks(cell)
	case k == Numeric:
		var d Decimal
		if ParseDecimal(cell, &d) {
			return []byte(d.canonical())
		}
	case k == NumRange:
		if isPlainRange(cell) {
			return cell
		}
		if text, err := rangeText(k, string(cell)); err == nil {
			return []byte(text)
		}
	case k.IsFloat():
		if f, err := strconv.ParseFloat(string(cell), FloatBits(k)); err == nil {
			return []byte(FormatFloat(k, f))
		}
	}
	return cell
}
