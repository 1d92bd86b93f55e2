// Follows shapes with the unmodified client and says what it holds. A command a line comes in, an answer a line goes out:
//
//   {"open": name, "params": {…}, "sse": true}   follows a shape
//   {"rows": name}                                {"rows": […], "upToDate": …, "error": …}
import { createInterface } from 'node:readline'
import { Shape, ShapeStream } from '@electric-sql/client'

const url = process.env.GATEWAY + '/v1/shape'
const shapes = new Map()

function open({ open: name, params, sse, log, offset }) {
  const held = { error: undefined, rotations: 0, changes: 0 }
  const stream = new ShapeStream({
    url, params, liveSse: sse ?? false, ...(log ? { log } : {}), ...(offset ? { offset } : {}),
    onError: (e) => { held.error = String(e.message ?? e) },
  })
  stream.subscribe((messages) => {
    for (const m of messages) {
      if (m.headers.control === 'must-refetch') held.rotations++
      if ('key' in m) held.changes++
    }
  })
  held.stream = stream
  held.shape = new Shape(stream)
  held.shape.subscribe(() => {})
  shapes.set(name, held)
}

const plain = (_, v) => (typeof v === 'bigint' ? v.toString() : v)

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  let answer = {}
  if (command.open) {
    open(command)
  } else {
    const held = shapes.get(command.rows)
    answer = {
      rows: held.shape.currentRows, upToDate: held.stream.isUpToDate, error: held.error,
      handle: held.shape.handle, rotations: held.rotations, changes: held.changes,
    }
  }
  console.log(JSON.stringify(answer, plain))
}
process.exit(0)
