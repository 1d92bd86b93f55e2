package shapes

import (
	"container/list"
	"sync"
)

// cache holds bodies up to a number of bytes. Those that were not asked for longest go first.
type cache struct {
	mu    sync.Mutex
	limit int
	size  int
	items map[string]*list.Element
	order *list.List // most recent first
}

type cached struct {
	key  string
	body *Body
}

func newCache(limit int) *cache {
	return &cache{limit: limit, items: map[string]*list.Element{}, order: list.New()}
}

func (c *cache) get(key string) *Body {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	if item, ok := e.Value.(*cached); ok {
		return item.body
	}
	return nil
}

func (c *cache) put(key string, b *Body) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; ok {
		c.removeLocked(e)
	}
	c.items[key] = c.order.PushFront(&cached{key, b})
	c.size += b.size()
	for c.size > c.limit && c.order.Len() > 1 { // the newest is being answered with
		c.removeLocked(c.order.Back())
	}
}

func (c *cache) removeLocked(e *list.Element) {
	if item, ok := c.order.Remove(e).(*cached); ok {
		delete(c.items, item.key)
		c.size -= item.body.size()
	}
}

func (c *cache) bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}
