package health

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Facts are what a process knows of its own work at a moment.
type Facts struct {
	Starting string   // what it waits for before it works for the first time; "" once it has
	NATS     string   // why NATS cannot be used; "" if it can
	Postgres string   // why Postgres cannot be used; "" if it can, or is not needed
	Missing  []string // streams that should be there and are not; of a bucket it is KV_<bucket>
	Failed   string   // why the last attempt to work ended, until another one works; "" if it goes on
	Waiting  string   // what somebody else has to do before work goes on; "" if nothing
	Parts    []string // parts of the work that cannot be done, each with the reason
	Harm     []string // what the application suffers because of Shapebus
	Work     bool     // there is something to do
	// Moved is when work got on, or when there was nothing to do, whichever was last. Zero is never.
	Moved time.Time
	// Turned is when the main loop turned that has not turned for the longest time. Zero says that none runs.
	Turned time.Time
}

const (
	// StandstillMost is how long work may not get on although there is some.
	StandstillMost = 15 * time.Second
	// TurnMost is how long a main loop may take for one turn. What it waits for is bounded by less.
	TurnMost = 2 * time.Minute
)

// Ready returns nil if the process works or stands by, else every reason why it does not.
func (f Facts) Ready(now time.Time) error {
	var reasons []string
	say := func(so bool, format string, args ...any) {
		if so {
			reasons = append(reasons, fmt.Sprintf(format, args...))
		}
	}
	say(f.Starting != "", "%s", f.Starting)
	say(f.NATS != "", "NATS: %s", f.NATS)
	say(f.Postgres != "", "Postgres: %s", f.Postgres)
	for _, name := range f.Missing {
		say(f.Starting == "", "%s", missing(name)) // else it has yet to be made
	}
	say(f.Failed != "" && !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, f.Failed) }), "trying again after: %s", f.Failed)
	say(f.Waiting != "", "%s", f.Waiting)
	for _, part := range f.Parts {
		say(true, "%s", part)
	}
	for _, harm := range f.Harm {
		say(true, "writes of the application fail because of shapes: %s", harm)
	}
	say(f.stands(now), "there is work, and nothing has been done for %s", since(now, f.Moved))
	if err := f.Alive(now); err != nil {
		say(true, "%s", err)
	}
	if len(reasons) == 0 {
		return nil
	}
	return errors.New(strings.Join(reasons, "; "))
}

// Alive returns an error if a main loop does not turn, which only another process mends.
func (f Facts) Alive(now time.Time) error {
	if f.Turned.IsZero() || now.Sub(f.Turned) <= TurnMost {
		return nil
	}
	return fmt.Errorf("the main loop has not turned for %s; restart this process, and please report it with its goroutines", since(now, f.Turned))
}

// stands reports whether work does not get on.
func (f Facts) stands(now time.Time) bool {
	return f.Work && !f.Moved.IsZero() && now.Sub(f.Moved) > StandstillMost
}

// missing says what a stream's absence means.
func missing(stream string) string {
	if bucket, ok := strings.CutPrefix(stream, "KV_"); ok {
		return "bucket " + bucket + " is not there: it was deleted, or this NATS user is of another account; it is made again within seconds"
	}
	return "stream " + stream + " is not there: it was deleted, or this NATS user is of another account; it is made again within seconds while its service runs"
}

func since(now, then time.Time) time.Duration { return now.Sub(then).Round(time.Second) }
