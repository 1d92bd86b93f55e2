package control

import (
	"bytes"
	"encoding/json"

	"github.com/shapebus/shapebus/pkg/change"
)

// lsn is an LSN that is text in JSON, as Postgres writes it: numbers of 64 bits do not survive in
// every language.
type lsn change.LSN

func (l lsn) MarshalText() ([]byte, error) { return []byte(change.LSN(l).String()), nil }

func (l *lsn) UnmarshalText(b []byte) error {
	at, err := change.ParseLSN(string(b))
	*l = lsn(at)
	return err
}

// marshal leaves it to the caller's encoder whether characters are escaped for HTML.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

type plainShape Shape

// shapeJSON is a Shape whose LSN is text: the outer field hides the inner one of its name.
type shapeJSON struct {
	plainShape

	Applied lsn `json:"applied"`
}

// MarshalJSON writes LSNs as text.
func (s Shape) MarshalJSON() ([]byte, error) {
	return marshal(shapeJSON{plainShape(s), lsn(s.Applied)})
}

// UnmarshalJSON reads the form of MarshalJSON.
func (s *Shape) UnmarshalJSON(b []byte) error {
	var j shapeJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Shape(j.plainShape)
	s.Applied = change.LSN(j.Applied)
	return nil
}

type plainStatus Status

// statusJSON is a Status whose LSNs are text.
type statusJSON struct {
	plainStatus

	ChangeLSN     lsn `json:"change_lsn"`
	AppliedLSN    lsn `json:"applied_lsn"`
	SlotConfirmed lsn `json:"slot_confirmed,omitzero"`
}

// MarshalJSON writes LSNs as text.
func (s Status) MarshalJSON() ([]byte, error) {
	return marshal(statusJSON{plainStatus(s), lsn(s.ChangeLSN), lsn(s.AppliedLSN), lsn(s.SlotConfirmed)})
}

// UnmarshalJSON reads the form of MarshalJSON.
func (s *Status) UnmarshalJSON(b []byte) error {
	var j statusJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*s = Status(j.plainStatus)
	s.ChangeLSN, s.AppliedLSN, s.SlotConfirmed = change.LSN(j.ChangeLSN), change.LSN(j.AppliedLSN), change.LSN(j.SlotConfirmed)
	return nil
}

type plainExplanation Explanation

// explanationJSON is an Explanation whose LSN is text.
type explanationJSON struct {
	plainExplanation

	At lsn `json:"at"`
}

// MarshalJSON writes LSNs as text.
func (e Explanation) MarshalJSON() ([]byte, error) {
	return marshal(explanationJSON{plainExplanation(e), lsn(e.At)})
}

// UnmarshalJSON reads the form of MarshalJSON.
func (e *Explanation) UnmarshalJSON(b []byte) error {
	var j explanationJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*e = Explanation(j.plainExplanation)
	e.At = change.LSN(j.At)
	return nil
}
