package value

// JSONType is jsonb_typeof().
func JSONType(s []byte) string {
	switch JSONKind(s) {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	default: // a number
		return "number"
	}
}

// JSONLength is how many elements an array has; ok is false if the document is none.
func JSONLength(s []byte) (n int64, ok bool) {
	if JSONKind(s) != '[' {
		return 0, false
	}
	JSONItems(s, func(_, _ []byte) bool { n++; return true })
	return n, true
}
