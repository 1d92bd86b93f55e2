package follow

import "fmt"

// checkRows ends a shape that has more rows than it may.
func (s *Follower) checkRows() {
	if s.MostRows > 0 && s.Tail.Rows > s.MostRows {
		s.Ended = TooManyRows(s.MostRows)
	}
}

// TooManyRows is the reason for which a shape ends that has more rows than it may.
func TooManyRows(most int64) string {
	return fmt.Sprintf("the shape has more than the %d rows that a shape may have; create it again with a clause that asks for less, or raise --max-shape-rows", most)
}
