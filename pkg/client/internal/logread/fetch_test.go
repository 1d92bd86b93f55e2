package logread

import (
	"testing"
	"time"
)

func TestABatchIsAsLargeAsTheConnectionIsFast(t *testing.T) {
	const most = 4 << 20
	for _, rate := range []int{20 << 10, 100 << 10, 500 << 10, 4 << 20, 100 << 20} { // bytes a second
		asked := firstBytes
		for range 20 {
			asked = sized(asked, asked, most, time.Duration(asked)*time.Second/time.Duration(rate))
		}
		if took := time.Duration(asked) * time.Second / time.Duration(rate); asked != most && asked != leastBytes && (took > slow || took < fast/2) {
			t.Errorf("at %d bytes/s %d are asked for, which take %s", rate, asked, took)
		}
		if rate >= most/2*10 && asked != most {
			t.Errorf("at %d bytes/s %d are asked for", rate, asked)
		}
	}
	if asked := sized(firstBytes, 100, most, time.Millisecond); asked != firstBytes {
		t.Errorf("behind a batch of 100 bytes %d are asked for", asked)
	}
	if asked := sized(1000, 1000, 1000, 5*time.Second); asked != 1000 {
		t.Errorf("of a buffer of 1000 bytes %d are asked for", asked)
	}
}
