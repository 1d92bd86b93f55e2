package crash

import (
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/shapebus/shapebus/e2e/proc"
)

// beganWith is what a consumer says when it begins, with how many partitions; it says of each that comes later that it is back.
var beganWith = regexp.MustCompile(`"partitions taken over".*"partitions":(\d+)`)

// I10: at most one writer per stream. One of two consumers sleeps until the other has its partitions, and wakes.
func TestConsumerThatSleptPastItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	const all = 8 // partitions
	owned := func(consumer *proc.Test) (n int) {
		text := consumer.Log.String()
		if m := beganWith.FindStringSubmatch(text); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		return n + strings.Count(text, `"the partition is back"`)
	}
	w := newWorld(t, options{})
	w.start()
	w.traffic.run()
	w.traffic.some(20)
	first := w.consumer
	until(t, "the first consumer owns the partitions", func() (bool, error) { return owned(first) == all, nil })
	w.startConsumer(nil)
	second := w.consumer
	until(t, "the second consumer owns half of them", func() (bool, error) { return owned(second) == all/2, nil })

	// In the middle of a large transaction it has much to append when it wakes.
	w.bigTransaction()
	w.awaitOpen(0)
	first.Signal(syscall.SIGSTOP)
	t.Log("the first consumer sleeps")
	until(t, "the second consumer owns all of them", func() (bool, error) { return owned(second) == all, nil })
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
