// Follows a shape with nothing but a NATS client and MessagePack, as docs/PROTOCOL.md says, and prints what the shape is at each
// commit as a line of JSON. It holds the rows, and those of one transaction. When what comes next is not there any more it begins
// again, and holds what it has until all rows are there. (To go on after a restart, keep handle and offset with the rows, see "Step by
// step", 4.)
//
//   npm ci && node follow.mjs nats://127.0.0.1:4222 main '{"table": "tasks", "where": "NOT done"}'
import { connect, createInbox } from "@nats-io/transport-node";
import { decodeMulti } from "@msgpack/msgpack";

const [servers, source, definition] = process.argv.slice(2);
const nc = await connect({ servers, maxReconnectAttempts: -1 });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const fetchAgain = (why) => new Error(`fetch again: ${why}`);

// The values of a body behind its version. Integers may have 64 bits.
function decode(body) {
  const [version, ...values] = decodeMulti(body, { useBigInt64: true });
  if (Number(version) !== 1) throw fetchAgain(`version ${version}`);
  return values;
}

const header = (m, name) => m.headers?.get(name) ?? "";
const sequence = (m) => Number(header(m, "Nats-Sequence"));
const part = (m) => (header(m, "Sb-Part") || "0/1").split("/").map(Number);
const sizeAt = (m) => BigInt(header(m, "Sb-Tail").split(" ")[5]);

// The last message of a subject, undefined if there is none.
async function last(stream, subject) {
  const m = await nc.request(`$JS.API.DIRECT.GET.${stream}.${subject}`, "", { timeout: 5000 });
  return m.headers?.code === 404 ? undefined : m;
}

// The messages of a subject from a sequence on, as many as come at once. Silence is not the end: what came is good.
async function batch(stream, subject, seq) {
  const inbox = createInbox(), got = [];
  const answers = nc.subscribe(inbox);
  const heard = () => setTimeout(() => answers.unsubscribe(), 5000);
  let silence = heard();
  const request = { seq, next_by_subj: subject, batch: 256, max_bytes: 4 << 20 };
  nc.publish(`$JS.API.DIRECT.GET.${stream}`, JSON.stringify(request), { reply: inbox });
  for await (const m of answers) {
    clearTimeout(silence);
    silence = heard();
    if (m.data.length === 0 && m.headers?.code) break; // 204: that is all; 404: there is none
    if (Number(header(m, "Nats-Last-Sequence")) !== (got.length ? sequence(got.at(-1)) : 0)) break; // one was lost
    got.push(m);
  }
  clearTimeout(silence);
  answers.unsubscribe();
  return got;
}

// Puts the parts of messages together: gives a body when its last part comes.
function assembler() {
  let parts = [];
  return (m) => {
    const [i, n] = part(m);
    if (i === 0) parts = [];
    parts.push(m.data);
    return i === n - 1 && parts.length === n ? Buffer.concat(parts) : undefined;
  };
}

async function follow(print) {
  const answer = await nc.request(`shapebus.${source}.shape.create`, definition, { timeout: 30_000 });
  if (header(answer, "Nats-Service-Error")) throw new Error(header(answer, "Nats-Service-Error"));
  const shape = answer.json();
  const stream = `SHAPES-${source}-${shape.partition}`, subject = `sb.${source}.shape.${shape.partition}.${shape.handle}`;
  const keyOf = (row) => JSON.stringify(row.filter((_, i) => shape.columns[i].key));
  let rows = new Map(), open = []; // rows by key, as without a primary key some may be equal; ops that do not count yet
  let wake = () => {};
  const live = nc.subscribe(`sb.${source}.live.${shape.partition}.${shape.handle}`, { callback: () => wake() });
  await nc.flush();

  const apply = ([, kind, row]) => {
    const key = row && (Number(kind) === 3 || Number(kind) === 6 ? JSON.stringify(row) : keyOf(row));
    const have = rows.get(key) ?? [];
    switch (Number(kind)) {
      case 1: rows.set(key, shape.has_key ? [row] : [...have, row]); break;
      case 2: case 5: rows.set(key, [row.map((v, i) => (v === false ? have[0][i] : v))]); break;
      case 3: case 6: have.length > 1 ? rows.set(key, have.slice(1)) : rows.delete(key); break;
      case 4: rows = new Map(); break;
    }
  };
  const commit = (lsn, op) => {
    open.forEach(apply);
    open = [];
    print({ handle: shape.handle, offset: `${lsn}_${op}`, rows: [...rows.values()].flat() });
  };
  const segment = async (n, messages) => {
    const whole = assembler();
    for (let seq = 0, count = 0, empty = 0; count < messages; ) {
      const got = await batch(stream, `${subject}.seg.${n}`, seq + 1);
      if (got.length === 0 && ++empty > 25) throw fetchAgain("rows are gone");
      if (got.length === 0) await pause(200);
      for (const m of got) {
        const body = whole(m);
        seq = sequence(m);
        if (body && ++count) for (const row of decode(body)) open.push([0, 1, row]);
      }
    }
  };

  try {
    let seq = 0, size = 0n, began = false, gen; // how much of the log has been read; the generation until its marker
    let skips = false; // what comes next may be in the generation
    const generation = await last(stream, `${subject}.gen.last`);
    if (generation) { // the log was folded
      [gen] = decode(generation.data);
      await segment(gen.segment, gen.messages);
      [began, size, skips] = [true, BigInt(gen.bytes), true];
      if (gen.bytes === gen.through) { commit(gen.lsn, gen.op); gen = undefined; }
    }
    for (const whole = assembler(); ; ) {
      const woken = new Promise((done) => { wake = done; });
      const got = await batch(stream, `${subject}.log`, seq + 1);
      if (got.length === 0 && (await Promise.race([woken, pause(2000).then(() => "silence")])) === "silence" && began) {
        // A stream that was made again, or restored from a backup, may end before what has been read: then nothing comes any more.
        const newest = await last(stream, `${subject}.log`);
        const there = newest && (sequence(newest) > seq || (sequence(newest) === seq && sizeAt(newest) === size));
        if (!there) throw fetchAgain("the log went back");
      }
      for (const m of got) {
        seq = sequence(m);
        const body = whole(m);
        if (!body || (skips && sizeAt(m) <= size)) continue;
        skips = false;
        if (sizeAt(m) - BigInt(body.length) !== size) throw fetchAgain("the log does not go on here");
        size = sizeAt(m);
        for (const [kind, ...e] of decode(body)) {
          if (Number(kind) === 3) throw fetchAgain(e[0]);
          if (Number(kind) === 5 && !gen) open = []; // what stands before it does not count
          if (Number(kind) === 2 && !began) {
            await segment(e[0], e[1]);
            commit(0, 0);
            began = true;
          }
          if (Number(kind) !== 1 && Number(kind) !== 4) continue;
          if (!began) throw fetchAgain("the log begins later");
          const [, lsn, , marker, end, ops] = e;
          const inRows = gen && BigInt(lsn) < BigInt(gen.snapshot_lsn) && !(gen.besides ?? []).some((l) => BigInt(l) === BigInt(lsn));
          if (!inRows) for (const op of ops) open.push(op);
          const there = !gen || (BigInt(lsn) === BigInt(gen.lsn) && BigInt(end) === BigInt(gen.op));
          if (marker && there) { commit(lsn, end); gen = undefined; }
        }
      }
    }
  } finally {
    live.unsubscribe();
  }
}

for (;;) {
  await follow((state) => console.log(JSON.stringify(state))).catch((err) => console.error(err.message));
  await pause(300);
}
