package crash

import (
	"strings"
	"syscall"
	"testing"
)

// I10: at most one writer per stream.
func TestConsumerThatSleptPastItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	const takenOver = `"partitions taken over"`
	w := newWorld(t, options{})
	w.start()
	w.traffic.run()
	w.traffic.some(20)
	first := w.consumer
	until(t, "the first consumer owns the partitions", func() (bool, error) { return first.Log.Count(takenOver) == 1, nil })
	w.startConsumer(nil)
	second := w.consumer

	// In the middle of a large transaction it has much to append when it wakes.
	w.bigTransaction()
	w.awaitOpen(0)
	first.Signal(syscall.SIGSTOP)
	t.Log("the first consumer sleeps")
	until(t, "the second consumer has taken over", func() (bool, error) { return second.Log.Count(takenOver) == 1, nil })
	w.traffic.some(50)
	first.Signal(syscall.SIGCONT)
	t.Log("the first consumer wakes")
	until(t, "the first consumer has noticed", func() (bool, error) {
		return strings.Contains(afterTakeOver(first.Log.String()), `"WARN"`), nil
	})
	w.traffic.some(50)
	w.verify()
	for _, line := range first.Log.Lines() {
		if strings.Contains(line, `"WARN"`) {
			t.Log(line)
		}
	}
	if n := first.Log.Count(takenOver); n != 1 {
		t.Errorf("the first consumer took over %d times; it is to stand by once it has slept", n)
	}
	// Had the first one written anything, the second would have been shut out.
	if n := second.Log.Count(takenOver); n != 1 {
		t.Errorf("the second consumer took over %d times, want once", n)
	}

	t.Log("the second consumer dies, and the first takes over again")
	second.Kill()
	until(t, "the first consumer has taken over", func() (bool, error) { return first.Log.Count(takenOver) == 2, nil })
	w.traffic.run()
	w.traffic.some(20)
	w.verify()
}

// afterTakeOver is what a consumer wrote behind its last take-over.
func afterTakeOver(log string) string {
	return log[strings.LastIndex(log, "partitions taken over")+1:]
}
