package demo

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/shapebus/shapebus/internal/term"
)

// board gathers what there is to see now.
func (d *demo) board() board {
	now, _ := d.meter.figures()
	t, p := d.traffic.figures(), d.toggles.figures()
	b := board{
		toggle: "project      " + cmp.Or(p.latest, "none switched on or off yet"),
		source: fmt.Sprintf("source       %s · slot lag %s · change log %s in %s, %s unread", term.Plural(t.committed, "transaction"), term.Size(now.status.SlotLagBytes),
			term.Size(int64(now.status.ChangeBytes)), term.Plural(now.status.ChangeMessages, "message"), term.Count(now.status.Unread)),
		memory: fmt.Sprintf("peak memory  ingest %s · consumer %s · materializer %s · NATS %s · walsender %s · this process %s",
			memoryText(now.ingest), memoryText(now.consumer), memoryText(now.materializer), memoryText(now.nats), memoryText(now.walsender), memoryText(now.demo)),
	}
	var rows, transactions, fragments []string
	for _, s := range d.apps {
		c := s.copy.figures()
		w, _ := s.wire.figures()
		latest := c.latest
		switch {
		case c.arriving > 1000:
			latest = "receiving a transaction: " + term.Plural(c.arriving, "row")
		case w.open > 1000:
			latest = term.Plural(w.open, "row") + " of an open transaction, not to be seen yet"
		}
		b.shapes = append(b.shapes, boardRow{s.title, term.Count(c.rows), term.Count(c.transactions), term.Count(w.fragments), latest})
		rows, transactions, fragments = append(rows, term.Count(c.rows)), append(transactions, term.Count(c.transactions)), append(fragments, term.Count(w.fragments))
	}
	b.brief = fmt.Sprintf("rows %s  transactions %s  fragments %s  slot lag %s  peak memory %s", strings.Join(rows, " · "), strings.Join(transactions, " · "),
		strings.Join(fragments, " · "), term.Size(now.status.SlotLagBytes), fmt.Sprintf("ingest %s, consumer %s, materializer %s, NATS %s", memoryText(now.ingest), memoryText(now.consumer), memoryText(now.materializer), memoryText(now.nats)))
	return b
}

func memoryText(n int64) string {
	if n == 0 {
		return "n/a"
	}
	return term.Size(n)
}

// summary prints what came out.
func (d *demo) summary(checks []check) {
	p := d.screen.color
	say := d.screen.say
	say("%s", "\n"+p.Bold(inTitle("part")+fmt.Sprintf("%*s", numberWidth, "peak memory")))
	now, lagMax := d.meter.figures()
	for _, part := range []struct {
		name string
		size int64
		note string
	}{
		{"ingest", now.ingest, ""},
		{"consumer", now.consumer, "the larger one of two"},
		{"materializer", now.materializer, ""},
		{"NATS", now.nats, "caches what its streams hold"},
		{"Postgres' walsender", now.walsender, "without what it shares with other Postgres processes"},
		{"this process", now.demo, "writes the traffic and holds the four subscribers' copies"},
	} {
		line := fmt.Sprintf("%s%*s", inTitle(part.name), numberWidth, memoryText(part.size))
		if part.note != "" {
			line += "  " + p.Dim(part.note)
		}
		say("%s", line)
	}
	say("\n%s", p.Bold(fmt.Sprintf("%s%*s%*s%*s  verified", inTitle("subscriber of"), numberWidth, "rows", numberWidth, "transactions", numberWidth, "fragments")))
	for i, s := range d.apps {
		c := s.copy.figures()
		w, _ := s.wire.figures()
		mark := p.Green("✓")
		if failedChecks(checks[checksPerShape*i:checksPerShape*(i+1)]) != nil {
			mark = p.Red("✗")
		}
		say("%s%*s%*s%*s  %s", inTitle(s.title), numberWidth, term.Count(c.rows), numberWidth, term.Count(c.transactions), numberWidth, term.Count(w.fragments), mark)
	}
	d.largeSummary()
	t := d.traffic.figures()
	say("\nBeside it: %s, of these %d with a changed key, %d with a savepoint rolled back, %d with a TRUNCATE; and %d rolled back.",
		term.Plural(t.committed, "small transaction"), t.keyChanges, t.savepoints, t.truncates, t.rolledBack)
	if p := d.toggles.figures(); p.units > 0 {
		say("Projects: switched on or off %d times; %s came and %s went with them, in %s. Before the large transaction half of them came within %s of COMMIT, the slowest %s.",
			t.toggles, term.Plural(p.came, "task"), term.Count(p.went), term.Plural(p.units, "unit"), millisText(p.p50), millisText(p.most))
	}
	if d.moved.partitions > 0 {
		say("Then one of the two consumers was stopped, with the traffic going on: the other had its %s %s later.", term.Plural(d.moved.partitions, "partition"), millisText(d.moved.took))
	}
	say("Slot lag: %s at most, %s in the end.\n", term.Size(lagMax), term.Size(d.lag))
	for _, c := range checks {
		if c.problem == "" {
			say("%s %s", p.Green("✓"), c.what)
		} else {
			say("%s %s: %s", p.Red("✗"), c.what, c.problem)
		}
	}
}

func (d *demo) largeSummary() {
	say := d.screen.say
	say("\n%s", d.screen.color.Bold(fmt.Sprintf("One transaction of %s, written in %.1f s", term.Plural(d.cfg.Rows, "row"), d.big.wrote.Seconds())))
	for _, a := range d.big.arrivals {
		say("%s%*s%*s  %.1f s after COMMIT", inTitle(a.shape.title), numberWidth, term.Plural(a.changes, "row"), numberWidth+4, term.Plural(a.fragments, "fragment"), a.after.Seconds())
	}
	if d.big.slowest > 0 {
		say("The last row came %.1f s after COMMIT: %s from Postgres through four shapes.", d.big.slowest.Seconds(), strings.Replace(term.Rate(int64(d.cfg.Rows), d.big.slowest), "/s", " rows/s", 1))
	}
}

// invite says how to look on.
func (d *demo) invite() {
	d.screen.say("\n%s A little traffic goes on. Ctrl-C stops everything and removes it. In another terminal:", d.screen.color.Bold("The demo keeps running."))
	d.screen.say("  %s shape tail %s --from now --source %s --nats-url %s", os.Args[0], d.apps[0].shape.Handle(), sourceName, d.parts.natsURL)
	d.screen.say("  %s status --source %s --nats-url %s\n", os.Args[0], sourceName, d.parts.natsURL)
	d.screen.phase("a little traffic", "")
}
