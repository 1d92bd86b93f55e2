package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// filled is how many rows the outer table has before the transaction.
const filled = 50_000

// outing is a transaction on the tables of a shape with a subquery.
type outing struct {
	name   string // of the figure
	rows   int    // inserted into the outer table
	values int    // whose membership changes, half of them in and half out
}

// memory measures the peak memory of the services while a transaction passes, a small one and a large one, each in
// fresh processes. The set has as many values in both, before and after.
func (q *subqueries) memory(ctx context.Context, env *common, r *report) (err error) {
	// Per row as in the bench of memory, and again for the log of the shape, which may be written twice.
	const perRow, base = 1200, 2 << 30
	ctx, l, err := q.open(ctx, env, r, uint64(2*q.rows+6*q.set)*perRow+base)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return err
	}
	r.table(fmt.Sprintf("Peak memory (VmHWM) while one transaction passes; %d values in the set, %d rows in the outer table before it", q.set/2, filled),
		"transaction", "process", "small", "large", "ratio")
	for _, kind := range []struct {
		name          string
		rows, changes bool
	}{{"outer", true, false}, {"inner", false, true}, {"both", true, true}} {
		if !slices.Contains(strings.Fields(q.kinds), kind.name) {
			continue
		}
		var peaks [2]officePeak
		for i, size := range []struct{ rows, values int }{{q.rows / 100, q.values / 10}, {q.rows, q.values}} {
			t := outing{name: kind.name}
			if kind.rows {
				t.rows = size.rows
			}
			if kind.changes {
				t.values = size.values
			}
			if peaks[i], err = l.outing(ctx, fmt.Sprintf("%s%d", kind.name, i), q.set, t); err != nil {
				return fmt.Errorf("%s: %w", kind.name, err)
			}
		}
		small, large := peaks[0], peaks[1]
		title := fmt.Sprintf("%s: %s, then %s", kind.name, small.what, large.what)
		for _, p := range []struct {
			name         string
			small, large float64
		}{{"ingest", small.ingest, large.ingest}, {"consumer", small.consumer, large.consumer}, {"materializer", small.materializer, large.materializer}} {
			r.row(title, p.name, number(p.small)+" MiB", number(p.large)+" MiB", number(p.large/p.small))
			title = ""
		}
		r.row("", "commit to applied", number(small.seconds)+" s", number(large.seconds)+" s", "")
		r.row("", "rows of the shape after it", strconv.Itoa(small.rows), strconv.Itoa(large.rows), "")
		r.add("memory_ratio_"+kind.name, max(large.consumer/small.consumer, large.materializer/small.materializer), "ratio")
		r.add("consumer_rss_"+kind.name, large.consumer, "MiB")
		r.add("materializer_rss_"+kind.name, large.materializer, "MiB")
	}
	return nil
}

// officePeak is what one transaction took.
type officePeak struct {
	what                           string
	ingest, consumer, materializer float64 // MiB
	seconds                        float64 // from the commit until all of it was applied to the shape
	rows                           int     // of the shape then, equal to those of its query
}

// outing lets one transaction pass through fresh processes.
func (l *lab) outing(ctx context.Context, name string, set int, t outing) (p officePeak, err error) {
	p.what = fmt.Sprintf("%d rows", t.rows)
	switch {
	case t.rows == 0:
		p.what = fmt.Sprintf("%d values", t.values)
	case t.values > 0:
		p.what += fmt.Sprintf(" and %d values", t.values)
	}
	l.say("%s: one transaction of %s", t.name, p.what)
	o, err := l.openOffice(ctx, name, set, filled, false)
	if err != nil {
		return p, err
	}
	defer o.close()
	if err := o.createShape(ctx); err != nil {
		return p, err
	}
	// The change stands between rows, so that the shape has written some of the transaction when it learns of it.
	sql := "BEGIN"
	if t.rows > 0 {
		sql += "; " + o.rowsSQL(filled+1, filled+t.rows/2, set)
	}
	if t.values > 0 {
		sql += fmt.Sprintf("; UPDATE %s SET active = NOT active WHERE id <= %d", o.inner, t.values)
	}
	if t.rows > 0 {
		sql += "; " + o.rowsSQL(filled+t.rows/2+1, filled+t.rows, set)
	}
	if err := l.exec(ctx, sql+"; COMMIT"); err != nil {
		return p, err
	}
	committed := time.Now()
	l.say("committed")
	if err := l.settle(ctx, o.shape); err != nil {
		return p, err
	}
	p.seconds = time.Since(committed).Seconds()
	err = o.peaks(ctx, &p)
	return p, err
}

// peaks reads what the services took so far, and checks the shape's rows.
func (o *office) peaks(ctx context.Context, p *officePeak) (err error) {
	for _, m := range []struct {
		of   *process
		peak *float64
	}{{o.ingest, &p.ingest}, {o.consumer, &p.consumer}, {o.materializer, &p.materializer}} {
		if *m.peak, err = peakMemory(m.of.Pid()); err != nil {
			return err
		}
	}
	p.rows, err = o.verify(ctx, o.shape)
	o.say("%d rows are in the shape", p.rows)
	return err
}

// revocation measures the peak memory of the services while one transaction takes every value out of a large set.
func (q *subqueries) revocation(ctx context.Context, env *common, r *report) (err error) {
	const perRow, base = 1200, 1 << 30
	ctx, l, err := q.open(ctx, env, r, uint64(4*q.revoke)*perRow+base)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return err
	}
	l.say("a set of %d values", q.revoke)
	o, err := l.openOffice(ctx, "revoked", q.revoke, filled, true)
	if err != nil {
		return err
	}
	defer o.close()
	if err := o.createShape(ctx); err != nil {
		return err
	}
	var before, p officePeak
	if err := o.peaks(ctx, &before); err != nil {
		return err
	}
	if err := l.exec(ctx, fmt.Sprintf("UPDATE %s SET active = false", o.inner)); err != nil {
		return err
	}
	committed := time.Now()
	l.say("committed")
	if err := l.settle(ctx, o.shape); err != nil {
		return err
	}
	p.seconds = time.Since(committed).Seconds()
	if err := o.peaks(ctx, &p); err != nil {
		return err
	}
	r.table(fmt.Sprintf("Peak memory (VmHWM) while one transaction takes all %d values out of a set, from %d rows", q.revoke, before.rows), "process", "before it", "with it")
	for _, m := range []struct {
		name         string
		before, with float64
	}{{"ingest", before.ingest, p.ingest}, {"consumer", before.consumer, p.consumer}, {"materializer", before.materializer, p.materializer}} {
		r.row(m.name, number(m.before)+" MiB", number(m.with)+" MiB")
	}
	r.row("commit to applied", "", number(p.seconds)+" s")
	r.row("rows of the shape", strconv.Itoa(before.rows), strconv.Itoa(p.rows))
	r.add("revocation_consumer_rss", p.consumer, "MiB")
	r.add("revocation_materializer_rss", p.materializer, "MiB")
	return nil
}

// perValue measures what a value costs in the processes that hold the set.
func (q *subqueries) perValue(ctx context.Context, env *common, r *report) (err error) {
	const perRow, base = 1200, 1 << 30
	ctx, l, err := q.open(ctx, env, r, uint64(2*q.held)*perRow+base)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return err
	}
	small, large := q.held/100, q.held
	var now, peak [2]struct{ consumer, materializer float64 }
	for i, n := range []int{small, large} {
		l.say("a set of %d values", n)
		o, err := l.openOffice(ctx, fmt.Sprintf("held%d", i), n, 100, true)
		if err != nil {
			return err
		}
		if err = o.createShape(ctx); err == nil {
			_, err = l.verify(ctx, o.shape)
		}
		for _, m := range []struct {
			of        *process
			now, peak *float64
		}{{o.consumer, &now[i].consumer, &peak[i].consumer}, {o.materializer, &now[i].materializer, &peak[i].materializer}} {
			if err == nil {
				*m.now, err = atRest(ctx, m.of)
			}
			if err == nil {
				*m.peak, err = peakMemory(m.of.Pid())
			}
		}
		o.close()
		if err != nil {
			return err
		}
	}
	bytes := func(small, large float64) float64 { return (large - small) * (1 << 20) / float64(q.held-q.held/100) }
	r.table("Memory of a set at rest (VmRSS), and the most it took to build (VmHWM)",
		"process", fmt.Sprintf("%d values", small), fmt.Sprintf("%d values", large), "bytes a value", "peak", "peak", "bytes a value at the peak")
	for _, p := range []struct {
		name, figure                     string
		small, large, smallMax, largeMax float64
	}{
		{"materializer", "", now[0].materializer, now[1].materializer, peak[0].materializer, peak[1].materializer},
		{"consumer", "consumer_", now[0].consumer, now[1].consumer, peak[0].consumer, peak[1].consumer},
	} {
		r.row(p.name, number(p.small)+" MiB", number(p.large)+" MiB", number(bytes(p.small, p.large)), number(p.smallMax)+" MiB", number(p.largeMax)+" MiB",
			number(bytes(p.smallMax, p.largeMax)))
		r.add(p.figure+"bytes_per_value", max(0, bytes(p.small, p.large)), "bytes")
		r.add(p.figure+"bytes_per_value_peak", max(0, bytes(p.smallMax, p.largeMax)), "bytes")
	}
	return nil
}

const (
	restFor  = 3 * time.Second  // memory that has not shrunk for so long is what the process keeps
	restMost = 30 * time.Second // memory that goes up and down all the time is taken as it is then
)

// atRest is the memory that a process keeps once what it was doing is over: the least it has had, in MiB.
func atRest(ctx context.Context, p *process) (least float64, err error) {
	began := time.Now()
	since := began
	err = poll(ctx, pollEvery, "the memory of "+p.Name+" does not shrink any more", func() (bool, error) {
		now, err := residentMemory(p.Pid())
		if least == 0 || now < least-1 {
			least, since = now, time.Now()
		}
		return time.Since(since) > restFor || time.Since(began) > restMost, err
	})
	return least, err
}
