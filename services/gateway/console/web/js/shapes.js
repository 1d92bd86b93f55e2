import { el, icon, keyed, put, text } from './dom.js';
import { get } from './api.js';
import { ago, bytes, cores, coresTitle, count, plural, rate } from './format.js';
import { plain, sql } from './sql.js';
import { create } from './create.js';

const states = [['', 'All'], ['live', 'Live'], ['creating', 'Creating'], ['ended', 'Ended']];
const orders = [['table', 'By table'], ['rate', 'Fastest growing'], ['cpu', 'Most CPU'], ['rows', 'Most rows'], ['log', 'Largest log'], ['lag', 'Furthest behind'], ['created', 'Newest']];

// What was looked for stays while the page does.
const asked = { q: '', state: '', sort: 'table', inner: false };

// shapes lists the shapes, and makes new ones.
export function shapes(view, { session, query, go, toast }) {
  if (query.has('q')) asked.q = query.get('q');
  const says = el('p', {}, 'Looking …');
  const search = el('input', { class: 'input', type: 'search', placeholder: 'Table, clause, handle or reason', 'aria-label': 'Search shapes', 'data-search': true, value: asked.q, autocomplete: 'off', spellcheck: 'false',
    oninput: () => { asked.q = search.value; soon(); } });
  const chips = states.map(([state, name]) => el('button', { class: 'chip', type: 'button', 'aria-pressed': String(asked.state === state), onclick: () => { asked.state = state; load(); } }, name, el('span', { class: 'num' })));
  const sort = el('select', { class: 'input', 'aria-label': 'Order', onchange: () => { asked.sort = sort.value; load(); } }, orders.map(([v, name]) => el('option', { value: v }, name)));
  sort.value = asked.sort;
  const inner = el('label', { class: 'check' }, el('input', { type: 'checkbox', onchange: (e) => { asked.inner = e.target.checked; load(); } }), 'inner shapes', el('span', { class: 'num quiet' }));
  inner.firstChild.checked = asked.inner;
  const body = el('div', { class: 'table-body', role: 'rowgroup' });
  const empty = el('div', { class: 'empty' });
  const rest = el('p', { class: 'rest quiet' });
  const table = el('div', { class: 'table shapes', role: 'table' },
    el('div', { class: 'table-head', role: 'row' }, ['Shape', 'Rows', 'Log', 'New readers read', 'Growth', 'CPU', 'Behind'].map((h, i) => el('span', { role: 'columnheader', class: i ? 'right' : '', title: h === 'CPU' ? coresTitle : '' }, h))), body);
  const make = session.level === 'full' && el('button', { class: 'button first', type: 'button', 'data-new': true, onclick: () => create({ done: (s) => { toast('The shape is being made.'); go(`#/shapes/${s.handle}`); } }) }, icon('plus', 16), 'New shape');
  view.append(
    el('div', { class: 'head' }, el('div', {}, el('h1', {}, 'Shapes'), says), el('div', { class: 'actions' }, make)),
    el('div', { class: 'toolbar' }, el('div', { class: 'search' }, icon('search', 16), search, el('kbd', { class: 'only-wide' }, '/')), el('div', { class: 'chips', role: 'group', 'aria-label': 'State' }, chips), el('div', { class: 'toolbar-end' }, inner, sort)),
    el('div', { class: 'panel' }, table, empty), rest);

  let timer = 0;
  let gone = false;
  let number = 0;
  const soon = () => {
    clearTimeout(timer);
    timer = setTimeout(load, 140);
  };

  async function load() {
    clearTimeout(timer);
    const mine = ++number;
    try {
      const found = await get(`shapes?${new URLSearchParams({ q: asked.q, state: asked.state, sort: asked.sort, inner: asked.inner })}`);
      if (!gone && mine === number) draw(found);
    } catch (error) {
      if (!gone && mine === number) text(says, error.message);
    }
    if (!gone && mine === number) timer = setTimeout(load, 2000);
  }

  function draw(found) {
    const all = Object.values(found.counts).reduce((n, k) => n + k, 0);
    text(says, found.at ? `${plural(all, 'shape')}${asked.q ? ' found' : ''}${found.more ? `, of the first ${count(found.of)} that are listed` : ''}.` : 'Looking …');
    chips.forEach((chip, i) => {
      const state = states[i][0];
      text(chip.lastChild, state ? found.counts[state] ?? 0 : all);
      chip.setAttribute('aria-pressed', String(asked.state === state));
      chip.hidden = state === 'creating' && !found.counts.creating && asked.state !== state;
    });
    text(inner.lastChild, found.inner || '');
    inner.hidden = !found.inner && !asked.inner;
    keyed(body, found.shapes, (s) => s.handle, item, (node, s) => node.draw(s));
    table.hidden = found.shapes.length === 0;
    empty.hidden = found.shapes.length > 0;
    if (!empty.hidden && found.at) {
      const narrowed = asked.q || asked.state;
      put(empty, narrowed
        ? [el('strong', {}, 'No shape is like that'), el('p', {}, asked.q ? `Nothing has “${asked.q}” in its table, clause, handle or reason.` : 'None is in this state.'),
          el('button', { class: 'button', type: 'button', onclick: () => { asked.q = search.value = ''; asked.state = ''; load(); } }, 'Show all')]
        : [el('strong', {}, 'There are no shapes yet'), el('p', {}, 'A shape is a live, filtered copy of a table. An app makes one by asking for it; you can make one here.'), make && el('button', { class: 'button first', type: 'button', onclick: () => make.click() }, icon('plus', 16), 'New shape')]);
    }
    text(rest, found.total > found.shapes.length ? `The first ${count(found.shapes.length)} of ${count(found.total)} are shown. Search for others.` : '');
  }

  load();
  if (query.has('new') && make) {
    history.replaceState(null, '', '#/shapes');
    make.click();
  }
  return () => {
    gone = true;
    clearTimeout(timer);
  };
}

function item(s) {
  const dot = el('span', { class: 'dot' });
  const clause = el('span', { class: 'clause' });
  const cells = ['Rows', 'Log', 'New readers', 'Growth', 'CPU', 'Behind'].map((name) => el('span', { class: 'num right', role: 'cell', 'data-name': name }));
  const tags = el('span', { class: 'tags' });
  const node = el('a', { class: 'table-row', role: 'row', href: `#/shapes/${s.handle}`, 'data-item': true },
    el('span', { class: 'shape-name', role: 'cell' }, dot, el('span', { class: 'shape-text' }, el('span', { class: 'shape-title' }, el('strong', {}, s.table), tags), clause)), cells);
  let shown = null;
  node.draw = (of) => {
    dot.className = `dot ${tone(of.state)}`;
    dot.title = of.state;
    const key = `${of.state}|${of.reason}|${of.folding}|${of.inner}`;
    if (key !== shown) {
      shown = key;
      put(tags, of.state !== 'live' && el('span', { class: `pill ${tone(of.state)}` }, of.state), of.inner && el('span', { class: 'pill' }, 'inner'), of.folding && el('span', { class: 'pill' }, 'folding'));
      put(clause, of.state === 'ended' ? el('span', { class: 'bad' }, of.reason || 'It ended.') : of.where ? sql(plain(of.where)) : el('span', { class: 'quiet' }, 'every row'));
      clause.title = of.state === 'ended' ? of.where : `${of.where || 'every row'} · made ${ago(of.created)}`;
    }
    const dead = of.state === 'ended' || of.state === 'deleting';
    cells[0].title = of.rows < 0 ? 'Nobody has counted since what a subquery selects has changed.' : '';
    text(cells[0], of.state === 'creating' ? count(of.snapshot_rows) : count(of.rows));
    text(cells[1], bytes(of.log_bytes));
    text(cells[2], bytes(of.since_bytes));
    text(cells[3], of.per_second ? rate(of.per_second) : '–');
    text(cells[4], cores(of.cpu));
    text(cells[5], dead || of.state === 'creating' ? '–' : bytes(of.lag_bytes));
    cells[3].classList.toggle('quiet', !of.per_second);
    cells[4].classList.toggle('quiet', !of.cpu);
    node.classList.toggle('dead', dead);
  };
  return node;
}

export function tone(state) {
  return { live: 'good', creating: 'warn', ended: 'bad', deleting: 'bad' }[state] ?? '';
}
