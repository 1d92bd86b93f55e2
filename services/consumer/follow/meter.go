package follow

// Meter finds out what judging ops costs each shape. Asking a clock twice costs more than most ops do, so one in many is
// measured and counts for all; which, chance decides, as shapes are offered in the same order again and again. Ops that may
// be dear are measured each. It belongs to one router.
type Meter struct {
	Clock func() int64                             // nanoseconds since any moment
	Spent func(handle string, nanoseconds float64) // is told

	left int    // ops until the next one that is measured
	seed uint64 // of chance
}

// meterEach is how many ops one that is measured stands for.
const meterEach = 64

// begin is called before an op is judged. It returns how many ops it stands for, 0 if it is not measured.
func (m *Meter) begin(dear bool) (weight float64, at int64) {
	if m == nil {
		return 0, 0
	}
	if dear {
		return 1, m.Clock()
	}
	if m.left--; m.left > 0 {
		return 0, 0
	}
	if m.seed == 0 {
		m.seed = 0x9E3779B97F4A7C15
	}
	m.seed ^= m.seed << 13
	m.seed ^= m.seed >> 7
	m.seed ^= m.seed << 17
	m.left = 1 + int(m.seed%(2*meterEach-1))
	return meterEach, m.Clock()
}

// end is called when it has been judged.
func (m *Meter) end(handle string, weight float64, began int64) {
	if weight > 0 {
		m.Spent(handle, weight*float64(m.Clock()-began))
	}
}
