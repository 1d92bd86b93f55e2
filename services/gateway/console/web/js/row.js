import { el, icon, put, text } from './dom.js';
import { get, post } from './api.js';
import { bytes, plural } from './format.js';
import { note } from './flow.js';
import { pulse } from './pulse.js';
import { cell } from './rows.js';
import { plain, sql } from './sql.js';
import { tone } from './shapes.js';

// row answers where a row is: which shapes have it, and why, or why not.
export function row(view, { session, query }) {
  const says = el('p', {}, 'Name a table and a key: each of its shapes says whether it has the row, and why.');
  const head = el('div', { class: 'head' }, el('div', {}, el('h1', {}, 'Where is this row?'), says));
  if (session.level !== 'full') {
    view.append(head, note('', 'Rows are not shown in this session.', 'It was opened with the secret for viewers.'));
    return () => {};
  }
  const table = el('input', { class: 'input mono', id: 'row-table', list: 'row-tables', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', placeholder: 'tasks', value: query.get('table') ?? '', oninput: soon });
  const tables = el('datalist', { id: 'row-tables' });
  const keys = el('div', { class: 'row-keys' });
  const ask = el('button', { class: 'button first', type: 'submit', disabled: true }, icon('search', 16), 'Look');
  const wrong = el('p', { class: 'wrong', role: 'alert' });
  const out = el('div', { class: 'answer' });
  const form = el('form', { class: 'panel row-form', onsubmit: (e) => { e.preventDefault(); look(); } },
    el('div', { class: 'field' }, el('label', { for: 'row-table' }, 'Table'), table, tables), keys, ask, wrong);
  view.append(head, form, out);

  let timer = 0;
  let gone = false;
  let known = null; // names of the key's columns
  let number = 0;
  let asked = 0;

  function soon() {
    known = null;
    ask.disabled = true;
    text(wrong, '');
    clearTimeout(timer);
    timer = setTimeout(find, 200);
  }

  // find asks which columns name a row of the table.
  async function find() {
    const name = table.value.trim();
    put(keys);
    if (!name) return;
    const mine = ++number;
    const at = pulse.now?.tables?.indexOf(name) ?? -1;
    if (at >= 0 && pulse.now.keys[at]?.length) return ready(pulse.now.keys[at]);
    try {
      const found = await post('check', { table: name, where: '', columns: [], params: [] });
      if (gone || mine !== number) return;
      if (found.problem && !found.columns) text(wrong, found.problem.message);
      else if (!found.has_key) text(wrong, 'The table has no primary key by which one of its rows could be named.');
      else ready(found.columns.filter((c) => c.key).map((c) => c.name));
    } catch (error) {
      if (!gone && mine === number) text(wrong, error.message);
    }
  }

  function ready(names) {
    known = names;
    put(keys, names.map((n, i) => el('div', { class: 'field' }, el('label', { for: `row-k${i}` }, n),
      el('input', { class: 'input mono', id: `row-k${i}`, 'data-key': n, value: query.get(n) ?? '', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', placeholder: 'value' }))));
    ask.disabled = false;
    if (names.every((n) => query.get(n))) look();
  }

  async function look() {
    if (!known) return;
    const key = {};
    for (const input of keys.querySelectorAll('input')) key[input.dataset.key] = input.value;
    history.replaceState(null, '', `#/row?${new URLSearchParams({ table: table.value.trim(), ...key })}`);
    ask.disabled = true;
    text(wrong, '');
    const all = [];
    let first = null;
    try {
      let after = '';
      do {
        const part = await post('explain', { table: table.value.trim(), key, after });
        if (gone) return;
        first ??= part;
        all.push(...part.in);
        after = part.next ?? '';
      } while (after && all.length < 500);
      draw(first, all, Boolean(after));
      settle(first, ++asked);
    } catch (error) {
      put(out);
      text(wrong, error.message);
    }
    ask.disabled = false;
  }

  function draw(of, memberships, cut) {
    const name = of.schema === 'public' ? of.table : `${of.schema}.${of.table}`;
    const live = memberships.filter((m) => m.shape.state !== 'ended' && m.shape.state !== 'deleting');
    const yes = live.filter((m) => m.matches);
    const not = live.filter((m) => !m.matches);
    const parts = [];
    if (of.found) {
      parts.push(el('section', { class: 'panel' }, el('header', {}, el('h2', {}, 'The row'), el('span', { class: 'aside num' }, `as Postgres has it at ${of.at}`)),
        el('dl', { class: 'row-cells' }, of.row.map((c) => el('div', {}, el('dt', {}, c.column), el('dd', { class: 'mono' }, shown(c)))))));
    } else {
      parts.push(el('div', { class: 'note warn' }, el('span', { class: 'dot warn' }), el('div', {}, el('strong', {}, `${name} has no such row. `), 'So no shape has it: one that has had it has dropped it, or is about to.')));
    }
    if (live.length === 0) {
      parts.push(el('div', { class: 'panel empty' }, el('strong', {}, `No shape is on ${name}`), el('p', {}, 'Nobody has asked for rows of this table.')));
    } else if (of.found) {
      parts.push(el('p', { class: 'sum' }, yes.length ? el('strong', {}, `In ${yes.length} of ${plural(live.length, 'shape')}.`) : el('strong', {}, `In none of ${plural(live.length, 'shape')}.`), cut ? ' There are more shapes, which are not shown.' : ''));
      parts.push([...yes, ...not].map((m) => membership(m, of)));
    }
    put(out, parts);
  }

  // settle looks again at shapes that had not come as far as the row, which most have a moment later.
  async function settle(of, mine) {
    for (let pause = 800; pause < 15_000; pause *= 2) {
      await new Promise((done) => { setTimeout(done, pause); });
      const late = [...out.querySelectorAll('.late')].slice(0, 10);
      for (const node of late) {
        if (gone || mine !== asked) return;
        try {
          const { shape: s } = await get(`shapes/${node.dataset.shape}`);
          if (place(s.applied) >= place(of.at) || s.lag_bytes === 0) node.replaceChildren();
          if (!node.firstChild) node.classList.remove('late');
        } catch { /* what is shown stays */ }
      }
      if (late.length === 0) return;
    }
  }

  table.focus();
  const off = pulse.on((p) => {
    const list = p?.tables ?? [];
    if (tables.childElementCount !== list.length) put(tables, list.map((t) => el('option', { value: t })));
  });
  if (table.value) find();
  return () => {
    gone = true;
    clearTimeout(timer);
    off();
  };
}

const shown = (c) => [cell(c.value), c.cut && '…'];

// An LSN as a number that can be compared.
function place(lsn) {
  const [high, low] = (lsn ?? '0/0').split('/').map((x) => BigInt(`0x${x}`));
  return (high << 32n) + low;
}

function membership(m, of) {
  const s = m.shape;
  const late = s.state === 'live' && s.lag_bytes > 0 && place(s.applied) < place(of.at);
  const verdict = m.problem ? ['warn', 'not known'] : s.state === 'creating' ? ['warn', m.matches ? 'will have it' : 'will not have it'] : m.matches ? ['good', 'has it'] : ['', 'does not have it'];
  return el('article', { class: `panel member ${m.matches ? 'in' : 'out'}` },
    el('header', {}, el('span', { class: `pill ${verdict[0]}` }, verdict[1]),
      el('a', { class: 'member-name', href: `#/shapes/${s.handle}` }, el('strong', {}, s.table), s.inner ? el('span', { class: 'quiet' }, ' inner') : null, el('span', { class: 'quiet mono' }, ` ${s.handle.slice(0, 8)}`)),
      el('span', { class: late ? 'aside late' : 'aside', 'data-shape': s.handle }, late ? `still ${bytes(s.lag_bytes)} of WAL behind` : s.state === 'live' ? '' : el('span', { class: `pill ${tone(s.state)}` }, s.state))),
    el('div', { class: 'why' }, m.problem ? el('p', { class: 'soft' }, m.problem) : m.why ? tree(m.why) : null));
}

const truths = { true: ['yes', '✓', 'true'], false: ['no', '✕', 'false'], unknown: ['maybe', '?', 'not known: a NULL stands in the way'] };

// tree shows why a clause comes to what it comes to: the parts that decide stand out.
function tree(t, depth = 0) {
  if (t.join) {
    const joined = t.join.toLowerCase();
    const label = joined === 'and' ? 'all of' : joined === 'or' ? 'at least one of' : joined === 'not' ? 'not' : `${joined}:`;
    const args = t.args ?? [];
    return el('div', { class: `term join ${truths[t.truth][0]}` }, line(t, el('span', { class: 'join-word' }, label)),
      el('div', { class: 'term-parts' }, args.map((a) => tree(a, depth + 1))));
  }
  if (t.sql === 'true' && !t.cells) return el('div', { class: 'term yes' }, line(t, el('span', {}, 'It has no clause: every row is in it.')));
  if (t.test) return member(t, depth);
  // Of a column that is a condition by itself, its value says all.
  const bare = t.cells?.length === 1 && plain(t.sql) === t.cells[0].column;
  return el('div', { class: `term ${truths[t.truth][0]}` }, line(t, bare ? null : sql(plain(t.sql)), values(t.cells, bare)));
}

function line(t, ...content) {
  const [, sign, words] = truths[t.truth];
  return el('div', { class: 'term-line' }, el('span', { class: 'sign', role: 'img', 'aria-label': words, title: words }, sign), el('div', {}, content));
}

function values(cells, alone) {
  if (!cells?.length) return null;
  return el('span', { class: alone ? 'values alone' : 'values' }, cells.map((c, i) => [i ? ', ' : '', el('span', { class: 'quiet' }, `${c.column} is `), el('code', {}, shown(c))]));
}

// member shows the test whether a value is among those that a subquery selects.
function member(t, depth) {
  const of = t.test;
  const from = of.schema === 'public' ? of.table : `${of.schema}.${of.table}`;
  const left = (t.cells ?? []).map((c) => c.column).join(', ');
  const found = of.candidates ?? [];
  const isNull = (t.cells ?? []).some((c) => c.value === null);
  const which = of.columns.join(', ');
  const what = el('span', { class: 'sql mono' }, left, el('span', { class: 'sql-word' }, ' in '), which, el('span', { class: 'sql-word' }, ' of '), from, of.where ? [el('span', { class: 'sql-word' }, ' where '), sql(plain(of.where))] : null);
  let words;
  if (of.problem) words = of.problem;
  else if (isNull) words = 'The value is NULL, which is in no set.';
  else if (t.truth === 'true') words = `The value is among those selected${found.length ? ', by' : '.'}`;
  else if (found.length === 0) words = `No row of ${from} has this value, so it is not in the set.`;
  else words = `The value is not in the set: ${found.length === 1 && !of.more ? 'the row that has it is' : 'the rows that have it are'} not selected.`;
  return el('div', { class: `term ${truths[t.truth][0]}` }, line(t, what, values(t.cells), el('p', { class: 'because' }, words)),
    found.length > 0 && el('div', { class: 'term-parts' }, found.map((c) => el('div', { class: 'candidate' },
      el('div', { class: 'candidate-name quiet' }, `${from} `, c.key.map((k, i) => [i ? ', ' : '', `${k.column} `, el('code', {}, shown(k))])), tree(c.why, depth + 1))),
    of.more && el('p', { class: 'quiet' }, 'and others')));
}
