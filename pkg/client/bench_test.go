package client_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// One iteration is one op of a backlog, read from a server in another process.
func BenchmarkBacklog(b *testing.B) {
	url := serverProcess(b)
	bench := newBenchOn(b, nil, func(o ...nats.Option) (*nats.Conn, error) { return nats.Connect(url, o...) })
	l := bench.newLog(columns, true)
	l.snapshot(1)
	l.write()
	const ops = 200_000
	for i := range uint64(ops) {
		l.op(100, 2*i, change.Insert, fmt.Sprint(i), "a note of forty characters, as notes go..", "x")
		if i%2000 == 1999 {
			l.write()
		}
	}
	l.commit(100, 2*ops)
	l.write()
	s := l.open()
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; {
		for e, err := range s.Subscribe(client.Beginning(), client.Options{}).Events(b.Context()) {
			ok(b, err)
			if _, is := e.(client.Change); is {
				n++
			}
			if _, done := e.(client.CaughtUp); done || n >= b.N {
				break
			}
		}
	}
}
