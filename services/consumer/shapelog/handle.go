package shapelog

import "strings"

// IDOf returns the id in a handle, or the id itself.
func IDOf(s string) string {
	id, _, _ := strings.Cut(s, "-")
	return id
}
