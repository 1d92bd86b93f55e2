// A page that shows shapes with the unmodified hook for React, and with streams of several shapes. It is bundled as apps are.
import { createElement as h, StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { useShape } from '@electric-sql/react'
import { MultiShapeStream, TransactionalMultiShapeStream } from '@electric-sql/experimental'

const url = new URLSearchParams(location.search).get('gateway') + '/v1/shape'

function List({ id, items }) {
  return h('ul', { id }, [...items].sort().map((t) => h('li', { key: t }, t)))
}

// Tasks shows what is open, or what is done when it is asked to: another shape then takes the place of the first.
function Tasks() {
  const [done, setDone] = useState(false)
  const { data, isLoading, isError } = useShape({ url, params: { table: 'tasks', where: done ? 'done' : 'NOT done' } })
  return h('section', {},
    h('button', { onClick: () => setDone(!done) }, 'turn'),
    h('p', { id: 'state' }, isError ? 'error' : isLoading ? 'loading' : 'there'),
    h(List, { id: 'tasks', items: data.map((r) => `${r.id}=${r.title}`) }))
}

// Count asks for the same shape as Tasks does, and renders only when the count changes.
function Count() {
  const n = useShape({ url, params: { table: 'tasks', where: 'NOT done' }, selector: ({ data }) => data.length })
  return h('p', { id: 'count' }, String(n))
}

const shapes = { tasks: { url, params: { table: 'tasks' } }, people: { url, params: { table: 'people' } } }

// Both shows two shapes of one stream, and how many rows came of each at once.
function Both({ id, Stream }) {
  const [rows, setRows] = useState(new Map())
  const [batches, setBatches] = useState([])
  useEffect(() => {
    const stream = new Stream({ shapes, checkForUpdatesAfterMs: 50 })
    const held = new Map()
    stream.subscribe((messages) => {
      const came = {}
      for (const m of messages) {
        if (!('key' in m)) continue
        came[m.shape] = (came[m.shape] ?? 0) + 1
        if (m.headers.operation === 'delete') held.delete(m.key)
        else held.set(m.key, `${m.shape} ${m.value.id}`)
      }
      setRows(new Map(held))
      if (Object.keys(came).length) setBatches((all) => [...all, Object.entries(came).sort().map(([k, n]) => `${k} ${n}`).join(', ')])
    }, (error) => setBatches((all) => [...all, String(error)]))
    return () => {
      stream.unsubscribeAll()
      for (const s of Object.values(stream.shapes)) s.unsubscribeAll()
    }
  }, [])
  return h('section', {}, h(List, { id, items: [...rows.values()] }), h('ol', { id: `${id}-batches` }, batches.map((b, i) => h('li', { key: i }, b))))
}

createRoot(document.getElementById('app')).render(h(StrictMode, {},
  h(Tasks), h(Count), h(Both, { id: 'both', Stream: MultiShapeStream }), h(Both, { id: 'whole', Stream: TransactionalMultiShapeStream })))
