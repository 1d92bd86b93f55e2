package client

import (
	"fmt"
	"strconv"
)

// boolOID is the type boolean's in pg_type.
const boolOID = 16

// textOf is a value that an app gives as Postgres reads it, nil for NULL.
func textOf(v any) (*string, error) {
	switch v := v.(type) {
	case nil:
		return nil, nil
	case string:
		return &v, nil
	case *string:
		return v, nil
	case bool:
		return new(strconv.FormatBool(v)), nil
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return new(fmt.Sprint(v)), nil
	}
	return nil, fmt.Errorf("a %T has no text form here; give a string as Postgres writes it, an integer, a bool, or nil for NULL", v)
}
