package value

import (
	"encoding/json"
	"strings"
)

// ArrayOfJSON writes an array in JSON as Postgres writes arrays. Any other text is returned as it is: there is none that
// is both.
func ArrayOfJSON(text string) string {
	if !strings.HasPrefix(strings.TrimLeft(text, Space), "[") {
		return text
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var elements []any
	var out strings.Builder
	if !json.Valid([]byte(text)) || d.Decode(&elements) != nil || !writeArray(&out, elements) {
		return text
	}
	return out.String()
}

// writeArray is false for what has no place in an array of Postgres.
func writeArray(out *strings.Builder, elements []any) bool {
	out.WriteByte('{')
	for i, e := range elements {
		if i > 0 {
			out.WriteByte(',')
		}
		switch e := e.(type) {
		case nil:
			out.WriteString("NULL")
		case bool:
			out.WriteString(map[bool]string{false: "f", true: "t"}[e])
		case json.Number:
			out.WriteString(e.String())
		case string:
			if strings.IndexByte(e, 0) >= 0 { // no text of Postgres has one
				return false
			}
			out.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(e) + `"`)
		case []any:
			if !writeArray(out, e) {
				return false
			}
		default: // an object
			return false
		}
	}
	out.WriteByte('}')
	return true
}
