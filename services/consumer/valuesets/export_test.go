package valuesets

// Verdicts is how many there are.
func (h *History) Verdicts() int { return len(h.chain.verdicts) }
