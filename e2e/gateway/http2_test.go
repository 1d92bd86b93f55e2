package gateway

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
)

// TestWhoWaitsOverHTTP2IsNotDropped has a long poll and a stream wait for longer than a client may take to read what it is sent. With
// HTTP/2 a bound for that counts for the whole answer, also while nothing is written.
func TestWhoWaitsOverHTTP2IsNotDropped(t *testing.T) {
	s := stack.Start(t, items)
	s.Gateway.WriteWithin, s.Gateway.KeepAlive = 300*time.Millisecond, time.Minute
	base, _ := s.StartGateway()
	first := await(t, base, values("table", "items", "offset", "-1"))
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	open := func(more ...string) (*http.Response, error) {
		q := values(append([]string{"table", "items", "offset", "0_inf", "live", "true", "handle", first.header.Get("Electric-Handle")}, more...)...)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1/shape?"+q.Encode(), http.NoBody)
		if err != nil {
			return nil, err
		}
		return transport.RoundTrip(req)
	}
	stream, err := open("live_sse", "true") //nolint:bodyclose // it is closed below, which the linter does not see through a function value
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	if stream.ProtoMajor != 2 {
		t.Fatalf("it speaks %s", stream.Proto)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(stream.Body); in.Scan(); {
			select {
			case lines <- in.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	comes := func(what string) {
		t.Helper()
		for line := range lines {
			if strings.Contains(line, what) {
				return
			}
		}
		t.Fatalf("the stream ends before %s comes", what)
	}
	polled := make(chan string, 1)
	for _, what := range []string{"first", "second"} {
		if what == "first" {
			go func() {
				resp, err := open()
				if err != nil {
					polled <- err.Error()
					return
				}
				defer resp.Body.Close()
				polled <- resp.Status
			}()
		}
		s.Until("it has waited", pass(4*s.Gateway.WriteWithin), func() string { return "" })
		s.Exec("INSERT INTO items VALUES ($1, 'ann', $2)", time.Now().UnixNano(), what+" change")
		comes(what + " change")
	}
	if got := <-polled; got != "200 OK" {
		t.Errorf("a long poll gets %s", got)
	}
}

// pass is a condition that holds once some time has passed.
func pass(d time.Duration) func() (bool, error) {
	end := time.Now().Add(d)
	return func() (bool, error) { return time.Now().After(end), nil }
}
