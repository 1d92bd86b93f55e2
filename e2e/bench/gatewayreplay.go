package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// cachedReads is how often one piece is asked for again.
const cachedReads = 100

// replay reads a small and a large shape from their beginning, from gateways that have only begun.
func (b *gatewayBench) replay(ctx context.Context, l *lab, r *report, source topology.Source) error {
	r.table("Rows read from the beginning, by a gateway that has only begun", "rows", "first answer in ms", "MB", "MB a second", "MB a second of its CPU", "again, from its cache", "peak in MiB")
	peaks := map[string]float64{}
	for _, of := range []struct {
		table string
		rows  int
	}{{"small", b.few}, {"large", b.rows}} {
		l.say("a shape of %d rows", of.rows)
		if err := l.writeBig(ctx, of.table, of.rows); err != nil {
			return err
		}
		s, err := l.create(ctx, source, client.Definition{Table: of.table})
		if err != nil {
			return err
		}
		if err := l.settle(ctx, s); err != nil {
			return err
		}
		m, err := l.replayOf(ctx, source, of.table)
		if err != nil {
			return err
		}
		r.row(strconv.Itoa(of.rows), number(millis(m.first)), number(m.bytes/1e6), number(m.bytes/1e6/m.took.Seconds()), number(m.bytes/1e6/m.cpu), number(m.cached), number(m.peak))
		if peaks[of.table] = m.peak; of.table == "large" {
			r.add("gateway_first_rows_ms", millis(m.first), "ms")
			r.add("gateway_replay_mb_s", m.cached, "MB/s")
			r.add("gateway_replay_jetstream_mb_s", m.bytes/1e6/m.cpu, "MB/s")
		}
	}
	r.add("gateway_rss_ratio", peaks["large"]/peaks["small"], "times")
	return nil
}

// replayed is what reading a shape took.
type replayed struct {
	first, took time.Duration
	bytes, cpu  float64 // of bodies; CPU time in seconds
	cached      float64 // MB a second of CPU
	peak        float64 // memory in MiB, before anything is read again
}

// replayOf reads a shape, and then one piece of it again and again. The cache is smaller than the small shape, so that it is full
// with either.
func (l *lab) replayOf(ctx context.Context, source topology.Source, table string) (m replayed, err error) {
	p, address, err := l.startGateway(ctx, source, "--cache-bytes", "8MiB", "--chunk-bytes", "1MiB")
	if err != nil {
		return m, err
	}
	defer p.stop()
	before, err := cpuTime(p.Pid())
	if err != nil {
		return m, err
	}
	began := time.Now()
	q := url.Values{"table": {table}, "offset": {"-1"}}
	last := ""
	for {
		n, h, err := getShape(ctx, address, q)
		if err != nil {
			return m, err
		}
		if m.bytes += float64(n); m.first == 0 {
			m.first = time.Since(began)
		}
		if _, ends := h["Electric-Up-To-Date"]; ends {
			break
		}
		last = q.Encode()
		q.Set("handle", h.Get("Electric-Handle"))
		q.Set("offset", h.Get("Electric-Offset"))
	}
	m.took = time.Since(began)
	after, err := cpuTime(p.Pid())
	if err != nil {
		return m, err
	}
	m.cpu = max(after-before, 1.0/clockTicks)
	if m.peak, err = peakMemory(p.Pid()); err != nil {
		return m, err
	}
	if q, err = url.ParseQuery(last); err != nil {
		return m, err
	}
	total := 0.0
	for range cachedReads {
		n, _, err := getShape(ctx, address, q)
		if err != nil {
			return m, err
		}
		total += float64(n)
	}
	again, err := cpuTime(p.Pid())
	m.cached = total / 1e6 / max(again-after, 1.0/clockTicks)
	return m, err
}

// getShape asks once and throws the body away.
func getShape(ctx context.Context, address string, q url.Values) (int64, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/v1/shape?"+q.Encode(), http.NoBody)
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("the gateway answers %s", resp.Status)
	}
	return n, resp.Header, err
}
