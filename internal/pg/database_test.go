package pg

import (
	"errors"
	"strings"
	"testing"
)

func TestWhichDatabaseFeedsASource(t *testing.T) {
	feeds := Database{SystemID: "17", Name: "app"}
	for _, c := range []struct {
		name         string
		feeds, found Database
		says         []string // nil: it is the same
	}{
		{"the same", feeds, feeds, nil},
		{"another cluster", feeds, Database{SystemID: "18", Name: "app"}, []string{"another Postgres cluster", "17", "18"}},
		{"another database of the cluster", feeds, Database{SystemID: "17", Name: "test"}, []string{"another database", `"app"`, `"test"`, "17"}},
		{"both", feeds, Database{SystemID: "18", Name: "test"}, []string{"another Postgres cluster", "17", "18", `"app"`, `"test"`}},
		{"a record of an older version", Database{SystemID: "17"}, Database{SystemID: "17", Name: "test"}, nil},
		{"one of another cluster", Database{SystemID: "17"}, Database{SystemID: "18", Name: "test"}, []string{"another Postgres cluster"}},
		{"no record, or a source that was reset", Database{}, feeds, nil},
		{"a role that may not know the cluster", feeds, Database{Name: "app"}, nil},
		{"such a role in another database", feeds, Database{Name: "test"}, []string{"another database"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.feeds.Admit(c.found)
			if _, other := errors.AsType[*OtherDatabaseError](err); other != (c.says != nil) {
				t.Fatalf("got %v", err)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v: %q is missing", err, part)
				}
			}
		})
	}
}
