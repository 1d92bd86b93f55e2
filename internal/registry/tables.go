package registry

import (
	"encoding/json"
	"sync"

	"github.com/shapebus/shapebus/internal/pg"
)

// tables remembers what the tables in records were decoded to: most records of a source have one of a few tables, which makes
// up most of what there is to decode and to keep. Safe for concurrent use.
type tables struct {
	mu    sync.Mutex
	known map[string]*pg.TableInfo // by the stored text
}

// maxTables bounds the tables that are remembered; then they are forgotten.
const maxTables = 1000

// decode returns nil where no table is stored.
func (t *tables) decode(text json.RawMessage) (*pg.TableInfo, error) {
	if len(text) == 0 {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if table, ok := t.known[string(text)]; ok {
		return table, nil
	}
	var table *pg.TableInfo
	if err := json.Unmarshal(text, &table); err != nil { //nolint:musttag // as in Shapes.Put
		return nil, err
	}
	if t.known == nil || len(t.known) == maxTables {
		t.known = map[string]*pg.TableInfo{}
	}
	t.known[string(text)] = table
	return table, nil
}
