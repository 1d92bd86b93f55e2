package oracle

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/pkg/client"
)

// startNATS starts the server, and what the test itself has of it.
func (w *world) startNATS() {
	w.tb.Helper()
	w.natsd = proc.NewNATS(w.tb, w.tb.TempDir())
	w.runNATS()
	nc, js := w.natsd.Connect(w.tb)
	w.js = js
	var err error
	if w.client, err = client.New(nc, string(w.source)); err != nil {
		w.tb.Fatal(err)
	}
}

// runNATS starts the process, on what the one before left, and waits until it answers.
func (w *world) runNATS() {
	w.tb.Helper()
	w.natsd.Start(w.tb)
	w.until("NATS answers", func() (bool, error) {
		err := w.natsd.Answers(w.tb.Context())
		return err == nil, err
	})
}

// killNATS kills the server, lets it lose the end of the change log if that is
// in the plan, and starts it again.
func (w *world) killNATS() {
	w.tb.Helper()
	w.natsd.Proc.Kill()
	w.note("NATS was killed")
	if w.plan.has(natsLoses) {
		w.cut(w.source.ChangeStream(), w.rng.Int64N(1<<[]int{10, 16, 22}[w.rng.IntN(3)]))
	}
	w.runNATS()
}

// cut takes bytes off the end of a stream's newest files, as a machine does that
// loses power with what was acknowledged and not yet synced.
func (w *world) cut(stream string, bytes int64) {
	w.tb.Helper()
	files, err := filepath.Glob(filepath.Join(w.natsd.Messages(stream), "*.blk"))
	if err != nil {
		w.tb.Fatal(err)
	}
	slices.SortFunc(files, func(a, b string) int { return blockNumber(b) - blockNumber(a) })
	for _, name := range files {
		info, err := os.Stat(name)
		if err != nil {
			w.tb.Fatal(err)
		}
		keep := max(0, info.Size()-bytes)
		bytes -= info.Size() - keep
		if err := os.Truncate(name, keep); err != nil {
			w.tb.Fatal(err)
		}
		w.note("%s lost its unsynced end: %d of %d bytes of %s are left", stream, keep, info.Size(), filepath.Base(name))
		if bytes <= 0 {
			return
		}
	}
}

func blockNumber(name string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(name), ".blk"))
	if err != nil {
		return -1 // it is no block
	}
	return n
}
