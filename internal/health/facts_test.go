package health

import (
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func TestReadySaysWhatIsWrongNow(t *testing.T) {
	for _, c := range []struct {
		name  string
		facts Facts
		want  []string // "" none: it is ready
	}{
		{"nothing is known to be wrong", Facts{}, nil},
		{"it has work and gets on", Facts{Work: true, Moved: ago(StandstillMost), Turned: ago(time.Second)}, nil},
		{"it has had nothing to do for a day", Facts{Moved: ago(24 * time.Hour), Turned: now}, nil},
		{"it has never worked", Facts{Starting: "the control plane does not answer yet"}, []string{"the control plane does not answer yet"}},
		{"NATS is gone", Facts{NATS: "the connection is lost: EOF"}, []string{"NATS: the connection is lost: EOF"}},
		{"the password is wrong", Facts{Postgres: "password authentication failed"}, []string{"Postgres: password authentication failed"}},
		{"a stream was deleted", Facts{Missing: []string{"CHANGES-main"}}, []string{"stream CHANGES-main is not there"}},
		{"a bucket was deleted", Facts{Missing: []string{"KV_SB-main-shapes"}}, []string{"bucket SB-main-shapes is not there"}},
		{"an attempt has failed", Facts{Failed: "no room"}, []string{"trying again after: no room"}},
		{"what failed is what Postgres says", Facts{Postgres: "no route", Failed: "no route"}, []string{"Postgres: no route"}},
		{"a standby holds Postgres back", Facts{Waiting: "no changes come"}, []string{"no changes come"}},
		{"parts of the work cannot be done", Facts{Parts: []string{"partition 3: full", "partition 5: full"}}, []string{"partition 3: full", "partition 5: full"}},
		{"the application suffers", Facts{Harm: []string{"table t"}}, []string{"writes of the application fail because of shapes: table t"}},
		{"work stands still", Facts{Work: true, Moved: ago(StandstillMost + time.Second)}, []string{"nothing has been done for 16s"}},
		{"the main loop hangs", Facts{Turned: ago(TurnMost + time.Second)}, []string{"the main loop has not turned for 2m1s"}},
		{"two things at once", Facts{NATS: "a", Postgres: "b"}, []string{"NATS: a; Postgres: b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.facts.Ready(now)
			if len(c.want) == 0 {
				if err != nil {
					t.Errorf("not ready: %v", err)
				}
				return
			}
			if err == nil {
				t.Fatal("ready")
			}
			for _, want := range c.want {
				if strings.Count(err.Error(), want) != 1 {
					t.Errorf("the reason is %q, want %q in it once", err, want)
				}
			}
		})
	}
}

func TestOnlyAMainLoopThatHangsIsDead(t *testing.T) {
	for _, f := range []Facts{{}, {NATS: "gone", Postgres: "gone", Failed: "x", Missing: []string{"s"}}, {Turned: ago(TurnMost)}} {
		if err := f.Alive(now); err != nil {
			t.Errorf("%+v is dead: %v", f, err)
		}
	}
	if (Facts{Turned: ago(TurnMost + 1)}).Alive(now) == nil {
		t.Error("a main loop that hangs counts as alive")
	}
}

func TestTheSlowestLoopCounts(t *testing.T) {
	var loops Loops
	if !loops.Turned().IsZero() {
		t.Error("a loop that does not run has turned")
	}
	slow := loops.Begin()
	at := loops.Turned()
	fast := loops.Begin()
	fast.Turn()
	if !loops.Turned().Equal(at) {
		t.Errorf("the slowest turned at %s, want %s", loops.Turned(), at)
	}
	slow.End()
	if loops.Turned().Equal(at) || loops.Turned().IsZero() {
		t.Error("a loop that has ended still counts")
	}
	fast.End()
	if !loops.Turned().IsZero() {
		t.Error("a loop that has ended still counts")
	}
}

func TestWorkThatNobodyBeginsIsSeen(t *testing.T) {
	var p Pace
	for _, step := range []struct {
		name   string
		active bool
		done   int64
		head   uint64
		work   bool
	}{
		{"nothing has been done yet", true, 0, 0, false},
		{"messages came that were read", true, 7, 7, false},
		{"another has come", true, 7, 8, true},
		{"it still waits", true, 7, 9, true},
		{"it is another process's", false, 7, 9, false},
		{"the stream is another one, and shorter", true, 7, 2, false},
		{"and read", true, 8, 3, false},
	} {
		p.See(step.active, step.done, step.head, now)
		if work, _ := p.Now(); work != step.work {
			t.Errorf("%s: work is %v, want %v", step.name, work, step.work)
		}
	}
}
