package materializer_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/materializer"
)

func (l *lab) info(st jetstream.Stream, subject string) map[string]uint64 {
	l.t.Helper()
	info, err := st.Info(l.t.Context(), jetstream.WithSubjectFilter(subject))
	l.ok(err)
	return info.State.Subjects
}

// story is a log with transactions within one message, over several, and several
// in one; a unit-less shape's. After each message, the verdicts on the column b.
func story() (messages []func(g *log), verdicts [][]string) {
	step := func(f func(g *log), v ...string) {
		messages = append(messages, f)
		verdicts = append(verdicts, v)
	}
	step(func(g *log) { g.at(10).op("+4 x").commit() }, "10_2: x 1")
	step(func(g *log) { g.at(20).op("+5 y") })
	step(func(g *log) { g.op("-5", "=1 z") })
	step(func(g *log) { g.op("+5 w").commit() }, "20_8: w 1, x -1, z 1")
	step(func(g *log) { g.at(30).op("-1").commit().at(40).op("+1 z").commit().at(50).op("-2") }, "30_2: z -1", "40_2: z 1")
	step(func(g *log) { g.op("+2 y").commit().at(60).op("+9 q") }, "50_4:")
	step(func(g *log) { g.op("!", "+9 q") })
	step(func(g *log) { g.commit() }, "60_6: q 1, w -1, x -2, y -1, z -1")
	step(func(g *log) { g.at(70).commit() }, "70_0:")
	step(func(g *log) { g.at(80).op("=9 r").commit() }, "80_2: q -1, r 1")
	return messages, verdicts
}

// Killed behind any message and replaced by a process that knows nothing, the
// materializer goes on without a gap or a repeat. The durable is never ahead of what
// a successor may need: not inside a transaction.
func TestASuccessorGoesOnBehindAnyMessage(t *testing.T) {
	t.Parallel()
	messages, verdicts := story()
	for _, least := range []int64{1 << 20, 1} { // with the first base only; with a base after nearly every verdict
		t.Run(fmt.Sprintf("bases from %d bytes on", least), func(t *testing.T) {
			for killAt := range messages {
				l := newLab(t, 1)
				l.cfg.BaseLeast = least
				g := l.inner("inner", 0)
				g.begin(1, "1 x", "2 y", "3 x")
				set := g.outer("o", false, 1)
				p := l.run("one", nil)
				p.live(1)
				var want []string
				open := uint64(0) // the first message of the open transaction
				for i, message := range messages {
					message(g)
					wasOpen := open != 0
					seq := g.send()
					want = append(want, verdicts[i]...)
					switch {
					case !g.tail.Open():
						open = 0
					case len(verdicts[i]) > 0 || !wasOpen:
						open = seq
					}
					if i == killAt {
						l.until("the message is delivered", func() bool { _, d := l.durable(0); return d >= seq })
						p.kill()
						p = l.run("two", nil)
					}
					if acked, _ := l.durable(0); open != 0 && acked >= open {
						t.Fatalf("acknowledged up to %d, but the transaction open since message %d is not over", acked, open)
					}
				}
				l.wantVerdicts(0, set, want...)
				l.wantValues(0, set, map[string]int64{"r": 1})
				l.until("the durable is acknowledged to the end", func() bool { a, d := l.durable(0); return a == d && a == l.appender(0).Stored() })
				p.stop()
				if st := p.Status(); st.Inconsistent != 0 {
					t.Errorf("%+v", st)
				}
			}
		})
	}
}

// Killed at each of its own steps.
func TestASuccessorGoesOnBehindAnyStep(t *testing.T) {
	t.Parallel()
	messages, verdicts := story()
	for _, point := range failpoint.Of(failpoint.Materializer) {
		for _, count := range []int{1, 2, 5} {
			t.Run(fmt.Sprintf("%s %d", point, count), func(t *testing.T) {
				l := newLab(t, 1)
				l.cfg.BaseLeast = 1
				g := l.inner("inner", 0)
				g.begin(1, "1 x", "2 y", "3 x")
				set := g.outer("o", false, 1)
				died := make(chan struct{})
				var mu sync.Mutex
				passes, die := 0, func() {}
				p := l.run("one", func(cfg *materializer.Config) {
					nc := cfg.NATS
					die = func() { nc.Close(); close(died) }
					cfg.Failpoint = func(at failpoint.Point) {
						mu.Lock()
						defer mu.Unlock()
						if at == point {
							if passes++; passes == count {
								die()
							}
						}
					}
				})
				var want []string
				for i, message := range messages {
					message(g)
					g.send()
					want = append(want, verdicts[i]...)
				}
				select {
				case <-died:
				case <-time.After(patience):
					t.Fatalf("%s was not reached", point)
				}
				p.kill()
				l.run("two", nil)
				l.wantVerdicts(0, set, want...)
				l.wantValues(0, set, map[string]int64{"r": 1})
			})
		}
	}
}

func TestTwoShareAndHandOver(t *testing.T) {
	t.Parallel()
	const partitions = 6
	l := newLab(t, partitions)
	logs := make([]*log, partitions)
	sets := make([]string, partitions)
	for p := range logs {
		logs[p] = l.inner(fmt.Sprint("inner", p), p)
		logs[p].begin(1, "1 x")
		sets[p] = logs[p].outer(fmt.Sprint("outer", p), false, 0)
	}
	want := make([][]string, partitions)
	lsn := change.LSN(0)
	write := func() {
		for range 3 {
			lsn += 10
			for p, g := range logs {
				g.at(lsn).op(fmt.Sprintf("+%d x", lsn)).commit().send()
				want[p] = append(want[p], fmt.Sprintf("%d_2: %d 1", lsn, lsn))
			}
		}
	}
	check := func() {
		t.Helper()
		for p := range logs {
			l.wantVerdicts(p, sets[p], want[p]...)
		}
	}
	both := func(a, b *process) {
		t.Helper()
		l.until("both have a part and all is followed", func() bool {
			x, y := a.Status(), b.Status()
			return x.Partitions > 0 && y.Partitions > 0 && x.Partitions+y.Partitions == partitions && x.Live+y.Live == partitions
		})
	}
	one := l.run("one", nil)
	write()
	two := l.run("two", nil)
	write()
	check()
	both(one, two)
	write()
	one.stop()
	write()
	check()
	two.live(partitions)
	three := l.run("three", nil)
	write()
	both(two, three)
	two.kill()
	write()
	check()
	three.live(partitions)
}

// Who sleeps past the end of its lease has been replaced, and nothing that it
// still meant to write is stored.
func TestWhoSleptPastItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	g.begin(1, "1 x")
	set := g.outer("o", false, 0)
	asleep, awake := make(chan struct{}), make(chan struct{})
	var once sync.Once
	wakeUp := sync.OnceFunc(func() { close(awake) })
	sleeper := l.run("sleeper", func(cfg *materializer.Config) {
		cfg.Failpoint = func(p failpoint.Point) {
			if p == failpoint.BeforeVerdict {
				once.Do(func() { close(asleep) })
				<-awake
			}
		}
	})
	defer wakeUp()
	g.at(10).op("+2 x").commit().send()
	select {
	case <-asleep:
	case <-time.After(patience):
		t.Fatal("no verdict was about to be written")
	}
	l.expire("sleeper")
	l.run("successor", nil)
	l.wantVerdicts(0, set, "10_2: 2 1")
	g.at(20).op("+3 x").commit().send()
	l.wantVerdicts(0, set, "10_2: 2 1", "20_2: 3 1")
	st, err := l.js.Stream(t.Context(), source.VerdictStream(0))
	l.ok(err)
	before := st.CachedInfo().State.LastSeq
	wakeUp()
	sleeper.stop()
	g.at(30).op("+4 x").commit().send()
	l.wantVerdicts(0, set, "10_2: 2 1", "20_2: 3 1", "30_2: 4 1")
	info, err := st.Info(t.Context())
	l.ok(err)
	if info.State.LastSeq != before+1 {
		t.Errorf("%d messages were stored since the sleeper awoke, want the successor's one", info.State.LastSeq-before)
	}
}

func TestBasesReplaceOneAnotherAndVerdictsAreTrimmed(t *testing.T) {
	l := newLab(t, 2)
	l.cfg.BaseLeast = 2000
	g := l.inner("inner", 0)
	g.begin(1, "1 x", "2 y")
	set := g.outer("o", false, 1)
	p := l.run("one", nil)
	p.live(1)
	var last change.LSN
	toggle := func(n int) {
		for range n {
			last += 10
			g.at(last).op("=1 z").commit().send()
			last += 10
			g.at(last).op("=1 x").commit().send()
		}
	}
	_, err := source.EnsureChangeLog(t.Context(), l.js, topology.History{ID: "this"}, topology.ChangeLogConfig{})
	l.ok(err)
	checkpoint := func(partition int, floor change.LSN, history string) {
		data, err := wire.EncodeCheckpoint(wire.Checkpoint{LSN: uint64(floor), FloorLSN: uint64(floor), History: history})
		l.ok(err)
		l.append(partition, stream.Message{Subject: source.CheckpointSubject(partition), Header: stream.Header("Nats-Rollup", "sub"), Data: data})
	}
	toggle(50)
	l.until("there is a later base, and the ones before are gone", func() bool {
		b, _, ok := l.base(0, set)
		n := l.subjects(0, set)
		return ok && b.LSN > 500 && len(n) == 4 && n[source.BaseSubject(0, set)] == 1
	})
	verdicts := func() int { return len(l.verdicts(0, set)) }
	l.until("all verdicts are there", func() bool { return verdicts() == 100 })

	t.Run("not before every partition has a checkpoint", func(t *testing.T) {
		checkpoint(0, 300, "this")
		toggle(1)
		l.until("two more verdicts are there", func() bool { return verdicts() == 102 })
	})
	t.Run("not for a place in another history", func(t *testing.T) {
		checkpoint(1, 1<<40, "the one before")
		for n := 104; n <= 122; n += 2 { // for more than one look at the checkpoints
			toggle(1)
			l.until("two more verdicts are there", func() bool { return verdicts() == n })
		}
	})
	t.Run("below the lowest floor only", func(t *testing.T) {
		checkpoint(1, 205, "this")
		l.until("those below it are gone", func() bool { return verdicts() == 122-20 })
		if v := l.verdicts(0, set)[0]; v.Offset.LSN != 210 {
			t.Errorf("the first verdict left is at %s", v.Offset)
		}
	})
	t.Run("below the base only", func(t *testing.T) {
		checkpoint(0, 1<<40, "this")
		checkpoint(1, 1<<40, "")
		l.until("those below the base are gone", func() bool {
			b, _, ok := l.base(0, set)
			v := l.verdicts(0, set)
			return ok && (len(v) == 0 || b.Offset().Before(v[0].Offset)) && len(v) < 60
		})
	})
	l.wantValues(0, set, map[string]int64{"x": 1, "y": 1})
	t.Run("a successor restores rows from the base", func(t *testing.T) {
		p.kill()
		l.run("two", nil).live(1)
		last += 10
		g.at(last).op("-2", "=1 q").commit().send()
		l.until("there is its verdict", func() bool {
			v := l.verdicts(0, set)
			return len(v) > 0 && text(v[len(v)-1]) == fmt.Sprintf("%d_4: q 1, x -1, y -1", last)
		})
		l.wantValues(0, set, map[string]int64{"q": 1})
	})
}

// What the durable does not deliver is read from the log.
func TestWhatTheDurableMissesIsReadFromTheLog(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	g.begin(1, "1 x")
	set := g.outer("o", false, 0)
	p := l.run("one", nil)
	p.live(1)
	g.at(10).op("+2 x").commit().send()
	l.wantVerdicts(0, set, "10_2: 2 1")
	p.stop()
	for i := range 5 {
		g.at(change.LSN(20 + i)).op(fmt.Sprintf("+%d x", 20+i)).commit().send()
	}
	c, err := l.js.Consumer(t.Context(), source.ShapeStream(0), topology.MaterializerDurable)
	l.ok(err)
	for acked := uint64(0); acked < l.appender(0).Stored(); { // in vain
		m, err := c.Next(jetstream.FetchMaxWait(patience))
		l.ok(err)
		md, err := m.Metadata()
		l.ok(err)
		acked = md.Sequence.Stream
		l.ok(m.DoubleAck(t.Context()))
	}
	l.run("two", nil).live(1)
	g.at(40).op("-1").commit().send()
	l.wantVerdicts(0, set, "10_2: 2 1", "20_2: 20 1", "21_2: 21 1", "22_2: 22 1", "23_2: 23 1", "24_2: 24 1", "40_2: 1 -1")
}

// Where a log's messages do not add up, which is how a lost one shows, the log itself is looked at.
func TestALogThatDoesNotAddUpIsReadAgain(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	g.begin(1, "1 x")
	set := g.outer("o", false, 1)
	l.run("one", nil).live(1)
	var want []string
	for i := range 20 {
		g.tail.Bytes += int64(i % 3)
		g.at(change.LSN(10+i)).op("=1 y", "=1 x", fmt.Sprintf("+%d z", 10+i)).commit().send()
		want = append(want, fmt.Sprintf("%d_6: z 1", 10+i))
	}
	l.wantVerdicts(0, set, want...)
	l.until("the durable is acknowledged to the end", func() bool { a, _ := l.durable(0); return a == l.appender(0).Stored() })
}
