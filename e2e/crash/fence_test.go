package crash

import (
	"strings"
	"syscall"
	"testing"
)

// I10: at most one writer per stream. One of two consumers sleeps until the other has its partitions, and wakes.
func TestConsumerThatSleptPastItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	const (
		began = `"partitions taken over"` // what it has when it begins
		came  = `"the partition is back"` // and each one that comes to it later
		half  = 4                         // of the partitions
	)
	w := newWorld(t, options{})
	w.start()
	w.traffic.run()
	w.traffic.some(20)
	first := w.consumer
	until(t, "the first consumer owns the partitions", func() (bool, error) { return first.Log.Count(began) == 1, nil })
	w.startConsumer(nil)
	second := w.consumer
	until(t, "the second consumer owns half of them", func() (bool, error) { return second.Log.Count(began) == 1, nil })

	// In the middle of a large transaction it has much to append when it wakes.
	w.bigTransaction()
	w.awaitOpen(0)
	first.Signal(syscall.SIGSTOP)
	t.Log("the first consumer sleeps")
	until(t, "the second consumer owns all of them", func() (bool, error) { return second.Log.Count(came) == half, nil })
	w.traffic.some(50)
	asleep := first.Log.String()
	first.Signal(syscall.SIGCONT)
	t.Log("the first consumer wakes")
	until(t, "the first consumer has noticed", func() (bool, error) {
		return strings.Contains(first.Log.String()[len(asleep):], `"WARN"`), nil
	})
	w.traffic.some(50)
	w.verify()
	for _, line := range first.Log.Lines() {
		if strings.Contains(line, `"WARN"`) {
			t.Log(line)
		}
	}
	// Had the first one written anything, the second would have been shut out.
	if text := second.Log.String(); strings.Contains(text, "a partition cannot be written") || strings.Contains(text, "trying again") {
		t.Errorf("the second consumer was disturbed:\n%s", text)
	}

	t.Log("the second consumer dies, and the first has all of them again")
	second.Kill()
	w.traffic.run()
	w.traffic.some(20)
	w.verify()
}
