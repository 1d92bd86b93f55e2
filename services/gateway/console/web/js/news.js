import { el, put } from './dom.js';
import { clock, plural } from './format.js';

const shownNews = 60;

const plainText = (value) => (value === null || value === undefined ? '' : typeof value === 'object' ? value.cut : value);

const signs = { insert: '+', upsert: '+', update: '~', delete: '−', discard: '−', truncate: '∅' };
const words = { insert: 'inserted', upsert: 'put in', update: 'changed', delete: 'gone', discard: 'taken out', truncate: 'truncated' };
const folded = 6;

// newsPanel lists transactions as they come, the newest first.
export function newsPanel() {
  const list = el('ol', { class: 'news' });
  const aside = el('span', { class: 'aside num' });
  const empty = el('div', { class: 'empty' }, el('strong', {}, 'Waiting'), el('p', {}, 'Transactions that concern the shape stand here as they come.'));
  const node = el('div', { class: 'panel news-panel' }, el('header', {}, el('h2', {}, 'Transactions'), aside), list, empty);
  let total = 0;

  return {
    node,
    phase(p) {
      const pill = { live: ['good live', 'live'], changes: ['good live', 'live'], reading: ['warn', 'reading'], stalled: ['warn', 'stalled'], ended: ['bad', 'ended'] }[p.is];
      put(aside, el('span', { class: `dot ${pill[0]}` }), pill[1]);
    },
    take(news, skipped, columns) {
      for (const t of news) {
        if (t.snapshot) continue;
        total++;
        list.prepend(transaction(t, columns));
      }
      if (skipped) list.prepend(el('li', { class: 'skipped quiet' }, `${plural(skipped, 'transaction')} came too fast to be shown.`));
      while (list.childElementCount > shownNews) list.lastChild.remove();
      empty.hidden = list.childElementCount > 0;
    },
  };
}

function transaction(t, columns) {
  const keys = columns.filter((c) => c.key);
  const changes = el('ul', { class: 'changes' });
  const li = el('li', { class: 'comes' },
    el('div', { class: 'news-head' }, el('strong', { class: 'num' }, t.time ? clock(t.time) : '–'),
      t.unit ? el('span', { class: 'pill good' }, `unit${t.xids > 1 ? ` of ${t.xids} transactions` : ''}`) : el('span', { class: 'quiet num' }, `xid ${t.xid}`),
      el('span', { class: 'news-count num' }, plural(t.count, 'change'))),
    changes,
    el('div', { class: 'news-foot quiet num' }, t.lsn));
  if (t.count === 0) put(changes, el('li', { class: 'quiet' }, 'nothing that shows'));
  let xid = t.unit ? undefined : t.xid;
  const items = [];
  for (const c of t.changes) {
    if (t.unit && c.xid !== xid) {
      xid = c.xid;
      items.push(el('li', { class: 'xid quiet num' }, xid ? `transaction ${xid}` : 'because of what a subquery selects'));
    }
    items.push(change(c, c.kind === 'delete' || c.kind === 'discard' ? keys : columns));
  }
  put(changes, items.slice(0, folded));
  const left = t.count - Math.min(t.changes.length, folded);
  if (items.length > folded) {
    const open = el('button', { class: 'more', type: 'button', onclick: () => {
      put(changes, items, t.count > t.changes.length && el('li', { class: 'quiet' }, `and ${plural(t.count - t.changes.length, 'more change', 'more changes')} that are not shown`));
    } }, `${plural(left, 'more change', 'more changes')}`);
    changes.append(el('li', {}, open));
  }
  return li;
}

function change(c, columns) {
  return el('li', { class: `change ${c.kind}`, title: words[c.kind] }, el('span', { class: 'sign', 'aria-label': words[c.kind] }, signs[c.kind] ?? '?'),
    el('span', { class: 'cut mono' }, c.kind === 'truncate' ? 'all rows' : (c.values ?? []).map((v, i) => [i ? el('span', { class: 'quiet' }, ' · ') : '', columns[i]?.key ? el('b', {}, plainText(v)) : v === null ? el('i', { class: 'null' }, 'null') : plainText(v)])));
}
