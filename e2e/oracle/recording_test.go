package oracle

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Recording is all that a run left behind, for the judge: he needs nothing
// else, so a failed run can be judged again.
type Recording struct {
	Seed   uint64
	Schema *Schema
	Txns   []Txn
	Shapes []*Record
	Events []Event
}

// Record is a shape of a run.
type Record struct {
	Kind Kind
	Rest bool // everything was at rest when the log was read; else the shape was dropped before
	Log  *logcheck.Log

	Reads Reads `json:",omitempty"` // what readers held
}

// save writes the recording to a file that outlives the test, and says where.
func (r *Recording) save(tb testing.TB) {
	tb.Helper()
	f, err := os.Create(filepath.Join(os.TempDir(), "oracle-"+formatSeed(r.Seed)+".json.gz"))
	if err != nil {
		tb.Error(err)
		return
	}
	z := gzip.NewWriter(f)
	//nolint:musttag // only this package reads it
	if err := errors.Join(json.NewEncoder(z).Encode(r), z.Close(), f.Close()); err != nil {
		tb.Error(err)
		return
	}
	tb.Logf("the run is in %s; %s=%s judges it again", f.Name(), recordingEnv, f.Name())
}

func load(tb testing.TB, name string) *Recording {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	r := &Recording{}
	if err := json.NewDecoder(z).Decode(r); err != nil { //nolint:musttag // only this package writes it
		tb.Fatal(err)
	}
	return r
}

// snapshots are those with which shapes began.
func (r *Recording) snapshots() (all []change.Snapshot) {
	for _, rec := range r.Shapes {
		if len(rec.Log.Messages) == 0 {
			continue
		}
		var d wire.LogDecoder
		_ = d.Decode(rec.Log.Messages[0].Data, func(e *wire.Entry) error { // what cannot be read the judge says
			if s, err := change.ParseSnapshot(e.Snapshot); e.Kind == wire.EntrySegment && err == nil {
				s.LSN = e.LSN
				all = append(all, s)
			}
			return nil
		})
	}
	return all
}
