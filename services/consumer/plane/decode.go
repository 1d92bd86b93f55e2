package plane

import (
	"fmt"

	"github.com/shapebus/shapebus/internal/strict"
	"github.com/shapebus/shapebus/pkg/control"
)

func badRequest(format string, args ...any) *requestError {
	return &requestError{control.CodeBadRequest, fmt.Sprintf(format, args...)}
}

// decode reads a request.
func decode[T any](data []byte) (T, error) {
	req, err := strict.Decode[T](data, strict.Words{Object: "the request", Reader: "this endpoint"})
	if err != nil {
		return req, badRequest("%v", err)
	}
	return req, nil
}
