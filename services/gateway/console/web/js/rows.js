import { el, put, text } from './dom.js';
import { bytes, count, plural } from './format.js';

const shownRows = 300;

// cell shows a value.
export function cell(value) {
  if (value === null || value === undefined) return el('i', { class: 'null' }, 'null');
  if (typeof value === 'object') return el('span', { title: `${bytes(value.bytes)} in all` }, value.cut, '…');
  return value;
}

function compareKeys(a, b) {
  for (let i = 0; i < a.length; i++) {
    const x = Number(a[i]);
    const y = Number(b[i]);
    const order = a[i] !== '' && b[i] !== '' && !Number.isNaN(x) && !Number.isNaN(y) ? x - y : a[i] < b[i] ? -1 : a[i] > b[i] ? 1 : 0;
    if (order) return order;
  }
  return 0;
}

const short = (type) => ({ 'timestamp with time zone': 'timestamptz', 'timestamp without time zone': 'timestamp', 'character varying': 'varchar', 'double precision': 'float8' })[type] ?? type;

// rowsPanel is the table of a shape's rows. A cell that changes is lit for a moment, and a row that goes fades.
export function rowsPanel() {
  const head = el('tr', {});
  const body = el('tbody', {});
  const aside = el('span', { class: 'aside num' });
  const empty = el('div', { class: 'empty' }, el('strong', {}, 'Reading …'));
  const more = el('p', { class: 'rest quiet' });
  const scroll = el('div', { class: 'rows-scroll', tabindex: 0 }, el('table', { class: 'rows' }, el('thead', {}, head), body));
  const node = el('div', { class: 'panel rows-panel' }, el('header', {}, el('h2', {}, 'Rows'), aside), scroll, empty, more);
  let columns = [];
  let all = new Map(); // key → values
  let shown = new Map(); // key → tr
  let order = [];
  let changesOnly = false;
  let first = true;
  let fresh = new Set(); // keys that have come and are not drawn yet
  scroll.hidden = true;

  function line(key, values) {
    const tr = el('tr', {}, values.map((v, i) => el('td', { class: columns[i]?.key ? 'key' : '' }, cell(v))));
    tr.values = values;
    return tr;
  }

  function light(td) {
    td.classList.remove('lit');
    void td.offsetWidth; // begins the fading again
    td.classList.add('lit');
  }

  function set(key, values, quietly) {
    all.set(key, values);
    const tr = shown.get(key);
    if (!tr) return;
    values.forEach((v, i) => {
      if (JSON.stringify(tr.values[i]) === JSON.stringify(v)) return;
      put(tr.children[i], cell(v));
      if (!quietly) light(tr.children[i]);
    });
    tr.values = values;
  }

  function draw(fresh) {
    order = [...all.keys()];
    if (!changesOnly) order = order.map((k) => [JSON.parse(k), k]).sort((a, b) => compareKeys(a[0], b[0])).map((x) => x[1]);
    const want = order.slice(0, shownRows);
    const keep = new Set(want);
    for (const [key, tr] of shown) {
      if (keep.has(key)) continue;
      shown.delete(key);
      if (all.has(key) || first) tr.remove();
      else {
        tr.className = 'goes';
        setTimeout(() => tr.remove(), 1100);
      }
    }
    let before = null;
    for (const key of want) {
      let tr = shown.get(key);
      if (!tr) {
        tr = line(key, all.get(key));
        if (fresh.has(key) && !first && !changesOnly) tr.className = 'comes';
        shown.set(key, tr);
      }
      let next = before ? before.nextSibling : body.firstChild;
      while (next?.className === 'goes') next = next.nextSibling;
      if (next !== tr) body.insertBefore(tr, next);
      before = tr;
    }
    first = false;
    text(more, order.length > shownRows ? `The first ${count(shownRows)} of ${count(order.length)} rows are shown.` : '');
    scroll.hidden = order.length === 0 && body.childElementCount === 0;
    empty.hidden = order.length > 0;
    if (!empty.hidden) put(empty, changesOnly ? [el('strong', {}, 'Nothing has changed yet'), el('p', {}, why)] : [el('strong', {}, 'No row matches'), el('p', {}, 'The shape is empty just now. Rows stand here when some match.')]);
  }

  let why = '';
  return {
    node,
    columns(list) {
      if (list.length === columns.length && list.every((c, i) => c.name === columns[i].name)) return;
      columns = list;
      put(head, list.map((c) => el('th', { scope: 'col' }, c.name, el('span', {}, short(c.type_name)))));
    },
    clear() {
      all = new Map();
      shown = new Map();
      fresh = new Set();
      put(body);
      first = true;
    },
    phase(p) {
      const only = p.is === 'changes' || (changesOnly && p.is === 'stalled');
      if (only && !changesOnly) this.clear();
      changesOnly = only;
      if (p.is === 'changes') {
        why = p.text;
        put(aside, 'those that change');
        draw(new Set());
      }
      node.classList.toggle('stale', p.is === 'stalled' || p.is === 'ended');
    },
    take(r) {
      if (r.all) {
        for (const key of all.keys()) if (!(key in (r.set ?? {}))) all.delete(key);
      }
      for (const key of r.gone ?? []) all.delete(key);
      for (const [key, values] of Object.entries(r.set ?? {})) {
        if (!all.has(key)) fresh.add(key);
        set(key, values, false);
      }
      if (r.more) return; // what is shown is of one commit
      draw(fresh);
      fresh = new Set();
      text(aside, plural(r.total, 'row'));
    },
    // changes keeps the rows that changed last, of a shape whose rows are too many.
    changes(list) {
      if (!changesOnly) return;
      const fresh = new Set();
      for (const t of list) {
        for (const c of t.changes) {
          if (c.kind === 'delete' || c.kind === 'discard') {
            all.delete(c.key);
            continue;
          }
          if (c.kind === 'truncate') {
            all.clear();
            continue;
          }
          const was = all.get(c.key);
          if (!was) fresh.add(c.key);
          set(c.key, c.values, false);
          if (!shown.has(c.key)) { // the newest stand on top
            all.delete(c.key);
            all = new Map([[c.key, c.values], ...all]);
          }
        }
      }
      if (all.size > shownRows) all = new Map([...all].slice(0, shownRows));
      draw(fresh);
      text(aside, `${plural(all.size, 'row')} that changed`);
    },
  };
}
