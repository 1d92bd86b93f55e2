package changelog

import "github.com/shapebus/shapebus/pkg/topology"

// HistoryID names the history of the database that the change log tells; "" if it is not known.
func (l *Log) HistoryID() string { return l.history.ID }

// Foreign reports whether an id is that of another history than the change
// log's. One that is not known may be the same.
func (l *Log) Foreign(id string) bool {
	return topology.Foreign(id, l.history.ID)
}

// ReasonForeign tells readers why the shapes of another history end.
func (l *Log) ReasonForeign() string {
	reason := l.history.Reason
	if reason == "" {
		reason = "the change log tells another history of the database"
	}
	return reason + "; the shape has to be fetched again"
}
