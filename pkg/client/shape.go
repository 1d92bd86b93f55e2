package client

import (
	"context"
	"fmt"
	"strings"

	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
)

// Shape is one incarnation of a shape: its handle names its log. Safe for concurrent
// use; it holds nothing that needs closing.
type Shape struct {
	client *Client
	info   control.Shape
	layout *event.Layout
}

func newShape(c *Client, info control.Shape) (*Shape, error) {
	if info.Handle == "" || len(info.Columns) == 0 {
		return nil, fmt.Errorf("the control plane's answer has no handle or no columns for shape %q: it speaks another version of the protocol", info.ID)
	}
	const longest = 64
	if len(info.Handle) > longest || strings.ContainsAny(info.Handle, ".*> \t\r\n\x00") || info.Partition < 0 { // they become subjects
		return nil, fmt.Errorf("the control plane's answer has the handle %.40q in partition %d, which cannot be: it speaks another version of the protocol", info.Handle, info.Partition)
	}
	return &Shape{client: c, info: info, layout: event.NewLayout(info.Columns)}, nil
}

// Handle names this incarnation of the shape. Keep it with the offset.
func (s *Shape) Handle() string { return s.info.Handle }

// Columns returns the shape's columns in the order of its rows' values. The
// slice is the shape's own.
func (s *Shape) Columns() []control.Column { return s.info.Columns }

// Info is what the control plane said when the shape was created or opened.
func (s *Shape) Info() control.Shape { return s.info }

// Refresh asks the control plane again. The shape itself does not change.
func (s *Shape) Refresh(ctx context.Context) (control.Shape, error) {
	return s.client.Get(ctx, s.info.Handle)
}

// Delete ends the shape. Its readers get a MustRefetchError.
func (s *Shape) Delete(ctx context.Context) error { return s.client.Delete(ctx, s.info.Handle) }
