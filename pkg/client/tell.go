package client

import (
	"context"
	"fmt"

	"github.com/shapebus/shapebus/pkg/control"
)

// Check says what would become of Create, and makes nothing. What is wrong with the definition is in the answer.
func (c *Client) Check(ctx context.Context, def Definition) (control.Check, error) {
	req, err := def.request()
	if err != nil {
		return control.Check{}, fmt.Errorf("check a shape of %s: %w", def.Table, err)
	}
	var out control.Check
	if err := c.request(ctx, control.EndpointCheck, req, &out); err != nil {
		return control.Check{}, fmt.Errorf("check a shape of %s: %w", def.Table, err)
	}
	return out, nil
}

// Explain says which shapes of a table have a row, and why. It reads the row, and those that subqueries are about, from
// Postgres.
func (c *Client) Explain(ctx context.Context, req control.ExplainRequest) (control.Explanation, error) {
	var out control.Explanation
	if err := c.request(ctx, control.EndpointExplain, req, &out); err != nil {
		return control.Explanation{}, fmt.Errorf("explain a row of %s: %w", req.Table, err)
	}
	return out, nil
}

// ListPage returns a page of shapes, in the order of their ids.
func (c *Client) ListPage(ctx context.Context, req control.ListRequest) (control.ListResponse, error) {
	var page control.ListResponse
	if err := c.request(ctx, control.EndpointList, req, &page); err != nil {
		return control.ListResponse{}, fmt.Errorf("list shapes: %w", err)
	}
	return page, nil
}
