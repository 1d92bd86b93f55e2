package follow

import (
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

// HasOtherFiles reports whether a look at the catalog, from at or later, found other files of the
// table's leaves than the shape knows.
func (s *Follower) HasOtherFiles(now *pg.TableInfo, at change.LSN) bool {
	return at >= s.FilesAt && s.Files.DiffFiles(now, func(string) bool { return false }) != ""
}
