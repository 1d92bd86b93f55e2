package answer

import (
	"strings"
	"testing"
)

// A text is cut between characters.
func TestATextIsCutBetweenCharacters(t *testing.T) {
	for text, want := range map[string]string{"": "", "äöü": "äöü", "äöüx": "äöü …", "aäöü": "aäö …", strings.Repeat("a", 7): "aaaaaa …"} {
		if got := Brief(text, 6); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
