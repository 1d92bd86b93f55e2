package demo

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// meterEvery is how often the meter reads.
const meterEvery = 500 * time.Millisecond

// meter reads the memory of each part and the state of the source. Safe for concurrent use.
type meter struct {
	parts  *processes
	client *client.Client

	mu     sync.Mutex // guards what follows
	now    meterFigures
	lagMax int64
}

// meterFigures are sizes in bytes; 0 where the system does not tell.
type meterFigures struct {
	ingest, consumer, materializer, nats, demo int64 // resident at most, shared pages included
	walsender                                  int64 // private memory at most
	status                                     control.Status
}

func newMeter(parts *processes, c *client.Client) *meter {
	return &meter{parts: parts, client: c}
}

// run reads until ctx ends. What cannot be read now may be the next time.
func (m *meter) run(ctx context.Context) error {
	conn, err := m.parts.connectDB(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) // it was for reading only
	for {
		m.read(ctx)
		m.readWalsender(ctx, conn)
		if !pause(ctx, meterEvery) {
			return nil
		}
	}
}

// read reads everything but Postgres' memory.
func (m *meter) read(ctx context.Context) {
	status, err := m.client.Status(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil && status.SlotError == "" {
		m.now.status = status
		m.lagMax = max(m.lagMax, status.SlotLagBytes)
	}
	m.now.ingest = peakMemory(m.parts.ingest.cmd.Process.Pid)
	for _, c := range []*child{m.parts.consumer, m.parts.second} {
		m.now.consumer = max(m.now.consumer, peakMemory(c.cmd.Process.Pid)) // 0 of one that has gone
	}
	m.now.materializer = peakMemory(m.parts.materializer.cmd.Process.Pid)
	m.now.nats = peakMemory(m.parts.nats.cmd.Process.Pid)
	m.now.demo = peakMemory(os.Getpid())
}

// readWalsender reads the memory of the Postgres process that feeds the slot, if it runs on this machine.
func (m *meter) readWalsender(ctx context.Context, conn *pgx.Conn) {
	if m.parts.postgres == nil {
		return
	}
	slot, err := slots.Lookup(ctx, conn, slotName)
	if err != nil || slot.ActivePID == 0 || procStatus(slot.ActivePID, "PPid") != int64(m.parts.postgres.PID()) {
		return // in a container its number means another process here
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now.walsender = max(m.now.walsender, procStatus(slot.ActivePID, "RssAnon")<<10)
}

func (m *meter) figures() (now meterFigures, lagMax int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now, m.lagMax
}

// peakMemory is the most memory that a process has had resident, in bytes, as the kernel keeps it; 0 where it does not tell.
func peakMemory(pid int) int64 { return procStatus(pid, "VmHWM") << 10 }

// procStatus reads a number from /proc/<pid>/status, 0 if it is not there.
func procStatus(pid int, field string) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(text) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		words := bytes.Fields(value)
		if string(name) != field || len(words) == 0 {
			continue
		}
		if n, err := strconv.ParseInt(string(words[0]), 10, 64); err == nil {
			return n
		}
	}
	return 0
}
