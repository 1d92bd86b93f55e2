import { el, icon, keyed, put, svg, text } from './dom.js';
import { amount, bytes, clock, count, duration, plural, rate, size } from './format.js';
import { curve } from './curve.js';
import { pulse } from './pulse.js';
import { plain, sql } from './sql.js';

// flow shows how changes go: Postgres, change log, partitions, shapes.
export function flow(view, { session }) {
  const says = el('p', {}, 'Looking …');
  const notes = el('div', { class: 'notes' });
  const postgres = station('Postgres', 'WAL with changes');
  const log = station('Change log', 'messages');
  const parts = station('Partitions', 'partitions');
  const shapes = station('Shapes', 'live shapes');
  const squares = el('div', { class: 'squares' });
  parts.node.append(squares);
  const pipes = [pipe(), pipe(), pipe()];
  const charts = [
    curve({ title: 'Through the change log', form: rate, pick: (p) => p.wal, unit: 1024 }),
    curve({ title: 'Into the logs of shapes', form: rate, pick: (p) => p.logs, unit: 1024 }),
  ];
  const rows = el('div', { class: 'table-body', role: 'rowgroup' });
  const busiest = el('div', { class: 'lines' });
  const quietly = el('div', { class: 'empty' });
  const body = el('div', { class: 'flow' },
    el('section', { class: 'pipeline', 'aria-label': 'The way of a change' }, postgres.node, pipes[0].node, log.node, pipes[1].node, parts.node, pipes[2].node, shapes.node),
    el('section', { class: 'charts' }, charts.map((c) => c.node)),
    el('section', { class: 'two' },
      el('div', { class: 'panel' },
        el('header', {}, el('h2', {}, 'Partitions'), el('span', { class: 'aside' }, 'who writes them, and how far')),
        el('div', { class: 'table partitions', role: 'table' },
          el('div', { class: 'table-head', role: 'row' }, ['', 'Consumer', 'Value sets', 'Shapes', 'Growth', 'Behind'].map((h, i) => el('span', { role: 'columnheader', class: i > 2 ? 'right' : '' }, h))), rows)),
      el('div', { class: 'panel' }, el('header', {}, el('h2', {}, 'Busiest shapes'), el('span', { class: 'aside' }, 'growth of their logs')), busiest, quietly)));
  view.append(el('div', { class: 'head' }, el('div', {}, el('h1', {}, 'Flow'), says)), notes, body);

  return pulse.on((p) => {
    if (!p) {
      if (pulse.lost) put(notes, note('bad', 'There is no answer.', pulse.lost));
      return;
    }
    const s = p.status;
    text(says, sentence(p));
    put(notes, problems(p));
    const states = s.shapes ?? {};
    const owners = s.owners ?? [];

    postgres.big(...size(p.wal), '/s');
    postgres.facts([
      ['Slot', s.slot_error ? 'not known' : s.slot_lost ? 'lost' : s.slot_active ? 'is read' : 'nobody reads it', s.slot_error || s.slot_lost ? 'bad' : s.slot_active ? '' : 'warn'],
      ['WAL kept', s.slot_error ? '–' : bytes(s.slot_lag_bytes)],
      ['State', s.slot_wal_status ?? '–', s.slot_wal_status && s.slot_wal_status !== 'reserved' && s.slot_wal_status !== 'extended' ? 'warn' : ''],
    ]);
    const [n, k] = amount(p.messages);
    log.big(n, k, '/s');
    log.facts([['Holds', plural(s.change_messages, 'message')], ['Size', bytes(s.change_bytes)], ['End', s.change_lsn]]);
    const writers = new Set(owners.map((o) => o.consumer).filter(Boolean));
    parts.big(String(s.partitions), '', '');
    parts.facts([['Consumers', count(writers.size), writers.size ? '' : 'bad'], ['Unread', plural(s.unread ?? 0, 'message')]]);
    shapes.big(count(states.live ?? 0), '', '');
    shapes.facts([
      ['Rows', count(p.rows)], ['Logs', bytes(p.log_bytes)],
      ['Not live', [states.creating && `${states.creating} creating`, states.ended && `${states.ended} ended`, states.deleting && `${states.deleting} deleting`].filter(Boolean).join(', ') || 'none', states.ended ? 'warn' : ''],
    ]);
    pipes[0].runs(p.wal > 0);
    pipes[1].runs(p.messages > 0);
    pipes[2].runs(p.logs > 0);
    for (const c of charts) c.draw(pulse.history);

    const down = new Map((s.down ?? []).map((d) => [d.partition, d]));
    const most = Math.max(...p.partitions.map((l) => l.per_second), 1);
    keyed(squares, owners, (o) => o.partition, () => el('span', {}), (node, o) => {
      const load = (p.partitions[o.partition]?.per_second ?? 0) / most;
      node.className = down.has(o.partition) || !o.consumer ? 'bad' : load > 0.02 ? 'busy' : '';
      node.style.setProperty('--load', String(0.25 + 0.75 * load));
      node.title = `Partition ${o.partition}: ${o.consumer ?? 'nobody writes it'}`;
    });
    const furthest = Math.max(...owners.map((o) => o.lag_bytes ?? 0), 1 << 20);
    keyed(rows, owners, (o) => o.partition, partitionRow, (node, o) => node.draw(o, p.partitions[o.partition], down.get(o.partition), furthest));
    keyed(busiest, p.busiest, (b) => b.handle, busyRow, (node, b) => node.draw(b));
    const none = Object.keys(states).length === 0;
    quietly.hidden = p.busiest.length > 0;
    if (!quietly.hidden) {
      put(quietly, none
        ? [el('strong', {}, 'There are no shapes yet'), el('p', {}, 'An app makes one by asking for it.'), session.level === 'full' && el('a', { class: 'button first', href: '#/shapes?new' }, icon('plus', 16), 'Make a shape')]
        : [el('strong', {}, 'Quiet'), el('p', {}, 'No log grows just now: nothing that concerns a shape is written.')]);
    }
  });
}

function sentence(p) {
  const s = p.status;
  if (p.fault) return `What is shown is from ${clock(p.at)}.`;
  if (s.slot_lost) return 'Postgres has given up the slot: changes are missing.';
  if (!s.slot_active && !s.slot_error) return 'Nobody reads changes from Postgres just now.';
  if (s.lag_seconds > 1) return `Shapes are ${duration(s.lag_seconds)} behind: ${bytes(s.lag_bytes)} of WAL are still to come.`;
  if (p.wal > 0) return 'Changes reach their shapes as they are committed.';
  return 'Every shape has all that was committed. Nothing is written just now.';
}

function problems(p) {
  const s = p.status;
  const out = [];
  if (pulse.lost) out.push(note('bad', 'Not connected.', pulse.lost));
  if (p.fault) out.push(note('bad', 'The control plane does not answer.', p.fault));
  for (const d of s.down ?? []) out.push(note('bad', `Partition ${d.partition} cannot be written since ${clock(d.since)}.`, `${d.reason} Its shapes wait, and go on by themselves.`));
  for (const text of s.problems ?? []) out.push(note('bad', 'A person has to mend this.', text));
  if (s.slot_error) out.push(note('warn', 'Postgres does not tell of the slot.', s.slot_error));
  if (s.slot_lost) out.push(note('bad', 'The slot is lost.', s.slot_lost));
  return out;
}

export function note(tone, title, words) {
  return el('div', { class: `note ${tone}`, role: tone === 'bad' ? 'alert' : 'status' }, el('span', { class: `dot ${tone}` }), el('div', {}, el('strong', {}, title), ' ', words));
}

function station(title, what) {
  const n = el('span', { class: 'big num' }, '–');
  const u = el('span', { class: 'unit' });
  const facts = el('dl', { class: 'facts' });
  return {
    node: el('article', { class: 'panel station' }, el('h2', { class: 'label' }, title), el('p', { class: 'amount' }, n, u, el('span', { class: 'hidden' }, what)), facts),
    big(number, unit, per) {
      text(n, number);
      text(u, `${unit}${per}`);
    },
    facts(list) {
      keyed(facts, list, ([name]) => name, ([name]) => el('div', {}, el('dt', {}, name), el('dd', { class: 'num' })), (node, [, value, tone]) => {
        text(node.lastChild, value);
        node.lastChild.className = `num ${tone ?? ''}`;
      });
    },
  };
}

function pipe() {
  const dots = svg('path', { class: 'pipe-flow', d: 'M0 6 H48' });
  const node = el('div', { class: 'pipe', 'aria-hidden': 'true' }, svg('svg', { viewBox: '0 0 48 12', preserveAspectRatio: 'none' }, svg('path', { class: 'pipe-line', d: 'M0 6 H48' }), dots));
  return { node, runs: (yes) => node.classList.toggle('runs', yes) };
}

function partitionRow(o) {
  const writes = el('span', { class: 'mono cut' });
  const sets = el('span', { class: 'mono cut quiet' });
  const n = el('span', { class: 'num right' });
  const grows = el('span', { class: 'num right' });
  const behind = el('span', { class: 'num right' });
  const bar = el('span', { class: 'bar' }, el('i', {}));
  const node = el('div', { class: 'table-row', role: 'row' }, el('span', { class: 'num quiet' }, o.partition), writes, sets, n, grows, el('span', { class: 'behind right' }, behind, bar));
  node.draw = (of, load, down, furthest) => {
    text(writes, down ? 'cannot be written' : of.consumer ?? 'nobody');
    writes.classList.toggle('bad', Boolean(down) || !of.consumer);
    writes.title = down?.reason ?? of.consumer ?? '';
    text(sets, of.materializer ?? 'nobody');
    text(n, count(load?.shapes ?? 0));
    text(grows, load?.per_second ? rate(load.per_second) : '–');
    text(behind, of.lag_bytes ? bytes(of.lag_bytes) : '0 B');
    bar.firstChild.style.width = `${Math.min((of.lag_bytes ?? 0) / furthest, 1) * 100}%`;
  };
  return node;
}

function busyRow(b) {
  const grows = el('span', { class: 'num' });
  const n = el('span', { class: 'num quiet' });
  const node = el('a', { class: 'line', href: `#/shapes/${b.handle}`, 'data-item': true },
    el('span', { class: 'line-name' }, el('strong', {}, b.table), b.where ? el('span', { class: 'cut' }, sql(plain(b.where))) : el('span', { class: 'quiet' }, 'every row')),
    el('span', { class: 'line-end' }, grows, n));
  node.draw = (of) => {
    text(grows, rate(of.per_second));
    text(n, of.rows < 0 ? '' : plural(of.rows, 'row'));
  };
  return node;
}
