package console

import (
	"strings"
	"testing"
	"time"
)

func TestSessionsAreOfTheirSecret(t *testing.T) {
	k := newKeys("the-secret-of-all", "the-one-of-viewers")
	now := time.Unix(1_800_000_000, 0)
	for secret, want := range map[string]level{"the-secret-of-all": full, "the-one-of-viewers": viewer, "": nobody, "the-secret-of-al": nobody, "the-secret-of-alll": nobody} {
		if got := k.opens(secret); got != want {
			t.Errorf("%q opens %q, want %q", secret, got, want)
		}
	}
	if got := newKeys("the-secret-of-all", "").opens(""); got != nobody {
		t.Errorf("an empty secret opens %q where there is none for viewers", got)
	}
	for _, l := range []level{full, viewer} {
		s := k.issue(l, now)
		if got := k.read(s, now.Add(sessionLength-time.Second)); got != l {
			t.Errorf("a session of %s is of %q", l, got)
		}
		if got := k.read(s, now.Add(sessionLength)); got != nobody {
			t.Errorf("a session that is over is of %q", got)
		}
		if got := newKeys("another-secret-here", "the-one-that-is-not").read(s, now); got != nobody {
			t.Errorf("with other secrets it is of %q", got)
		}
		if strings.Contains(s, "secret") {
			t.Errorf("%q tells the secret", s)
		}
		parts := strings.Split(s, ".")
		for name, forged := range map[string]string{
			"a later end":  strings.Join([]string{parts[0], "1900000000", parts[2], parts[3]}, "."),
			"no signature": strings.Join(parts[:3], ".") + ".",
			"cut":          s[:len(s)-1], "longer": s + "A", "more parts": s + ".x", "nothing": "", "dots": "...", "long": strings.Repeat("full.", 1000),
		} {
			if got := k.read(forged, now); got != nobody {
				t.Errorf("%s of a session of %s is of %q", name, l, got)
			}
		}
	}
	viewers := k.issue(viewer, now)
	if got := k.read(string(full)+strings.TrimPrefix(viewers, string(viewer)), now); got != nobody {
		t.Errorf("a viewer's session with another word is of %q", got)
	}
}
