// A to-do app on TanStack DB: optimistic writes that go to the app's own server, which says the transaction's id, and collections in each way
// of loading. It ends with 0 when all held, else it says what did not.
import assert from 'node:assert/strict'
import { createCollection, createLiveQueryCollection, eq, gt } from '@tanstack/db'
import { electricCollectionOptions } from '@tanstack/electric-db-collection'

const url = process.env.GATEWAY + '/v1/shape'

// write runs a statement on the app's server and returns the transaction's id.
async function write(statement, ...args) {
  const r = await fetch(process.env.APP, { method: 'POST', body: JSON.stringify({ statement, args }) })
  assert.equal(r.status, 200, await r.clone().text())
  return (await r.json()).txid
}

// until waits for a condition that the collections come to.
async function until(what, is) {
  const end = Date.now() + 60_000
  while (!is()) {
    if (Date.now() > end) throw new Error('never: ' + what)
    await new Promise((r) => setTimeout(r, 20))
  }
}

function todos(syncMode, params = {}) {
  return createCollection(electricCollectionOptions({
    id: 'todos-' + syncMode + JSON.stringify(params),
    shapeOptions: { url, params: { table: 'todos', ...params } },
    getKey: (row) => row.id,
    syncMode,
    onInsert: async ({ transaction }) => {
      const { modified: t } = transaction.mutations[0]
      return { txid: await write('INSERT INTO todos VALUES ($1, $2, $3, $4)', t.id, t.title, t.done, t.rank), timeout: 60_000 }
    },
    onUpdate: async ({ transaction }) => {
      const { modified: t } = transaction.mutations[0]
      return { txid: await write('UPDATE todos SET title = $2, done = $3 WHERE id = $1', t.id, t.title, t.done), timeout: 60_000 }
    },
    onDelete: async ({ transaction }) => {
      const { original: t } = transaction.mutations[0]
      return { txid: await write('DELETE FROM todos WHERE id = $1', t.id), timeout: 60_000 }
    },
  }))
}

const step = (name) => console.log('ok:', name)

// Eager: everything is loaded; what is written shows at once, and is confirmed by its transaction's id.
const eager = todos('eager')
await eager.preload()
assert.equal(eager.size, 20)
const inserted = eager.insert({ id: 100, title: 'new', done: false, rank: 100 })
assert.equal(eager.get(100).title, 'new')
await inserted.isPersisted.promise
assert.equal(eager.get(100).title, 'new')
await eager.update(100, (t) => { t.done = true }).isPersisted.promise
assert.equal(eager.get(100).done, true)
assert.equal(eager.get(100).title, 'new')
await eager.delete(100).isPersisted.promise
assert.equal(eager.has(100), false)
step('eager')

// A shape with a condition: a row that leaves it goes.
const open = todos('eager', { where: 'NOT done' })
await open.preload()
const before = open.size
await write('UPDATE todos SET done = true WHERE id = 1')
await until('the row that was done has gone', () => open.size === before - 1)
await write('UPDATE todos SET done = false WHERE id = 1')
await until('the row is back', () => open.size === before && open.get(1)?.title === 'todo 1')
step('where')

if (process.env.SUBSETS === '1') {
  // On demand: only what a query asks for is loaded.
  const lazy = todos('on-demand')
  const few = createLiveQueryCollection((q) =>
    q.from({ t: lazy }).where(({ t }) => gt(t.rank, 5)).orderBy(({ t }) => t.rank, 'desc').limit(4))
  await few.preload()
  assert.deepEqual(few.toArray.map((t) => t.id), [20, 19, 18, 17])
  await write('UPDATE todos SET title = $1 WHERE id = 20', 'changed')
  await until('a loaded row changes', () => few.toArray[0].title === 'changed')
  await write('INSERT INTO todos VALUES (101, $1, false, 101)', 'top')
  await until('a row comes into the query', () => few.toArray[0].id === 101)
  await write('DELETE FROM todos WHERE id = 101')
  await until('and goes', () => few.toArray[0].id === 20)
  step('on-demand')

  // Progressive: what a query asks for comes first, everything behind it.
  const both = todos('progressive')
  const one = createLiveQueryCollection((q) => q.from({ t: both }).where(({ t }) => eq(t.id, 7)))
  await one.preload()
  assert.deepEqual(one.toArray.map((t) => t.id), [7])
  await until('everything is there', () => both.size === 20)
  step('progressive')
}
process.exit(0)
