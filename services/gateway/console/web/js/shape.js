import { el, icon, keyed, put, text } from './dom.js';
import { get, listen, post } from './api.js';
import { ago, bytes, cores, coresTitle, count, rate } from './format.js';
import { note } from './flow.js';
import { plain, sql } from './sql.js';
import { tone } from './shapes.js';
import { rowsPanel } from './rows.js';
import { newsPanel } from './news.js';

// shape shows one shape: its rows as they change, and its transactions as they come.
export function shape(view, { session, rest, go, toast }) {
  const handle = rest[0];
  const title = el('h1', {}, '…');
  const state = el('span', { class: 'pill' });
  const clause = el('div', { class: 'clause-block' });
  const actions = el('div', { class: 'actions' });
  const notes = el('div', { class: 'notes' });
  const facts = el('dl', { class: 'panel figures' });
  const rows = rowsPanel();
  const news = newsPanel();
  const live = el('div', { class: 'two shape-two' }, rows.node, news.node);
  view.append(
    el('div', { class: 'head' }, el('div', {}, el('a', { class: 'crumb', href: '#/shapes' }, icon('back', 15), 'Shapes'), el('div', { class: 'title' }, title, state)), actions),
    clause, notes, facts, session.level === 'full' ? live : note('', 'Rows are not shown in this session.', 'It was opened with the secret for viewers.'));

  let info = null;
  let name = ''; // of its table, as SQL writes it
  let cost = {};
  let gone = false;
  let timer = 0;
  let close = () => {};
  let said = null; // the feed's last phase
  let counted = -1; // rows, by the feed

  function take(shown) {
    name = shown.table;
    cost = shown.cost;
    drawInfo(shown.shape);
  }

  function drawInfo(s) {
    info = s;
    document.title = `${name} · Shapebus`;
    text(title, name);
    state.className = `pill ${tone(s.state)}`;
    put(state, el('span', { class: `dot ${tone(s.state)}` }), s.inner ? `${s.state}, inner` : s.state);
    put(clause, s.where ? [el('span', { class: 'sql-word' }, 'where '), sql(plain(s.where)), params(s)] : el('span', { class: 'quiet' }, 'Every row of the table.'));
    const list = [
      ['Rows', s.state === 'creating' ? `${count(s.snapshot_rows)} …` : count(counted < 0 ? s.rows : counted)],
      ['Behind', s.state === 'live' ? bytes(s.lag_bytes) : '–'],
      ['Log', bytes(s.log_bytes)],
      ['New readers read', bytes(s.since_bytes)],
      ['Growth', cost.per_second ? rate(cost.per_second) : '–'],
      ['CPU', cores(cost.cpu), coresTitle],
      ['Partition', String(s.partition)],
      ['Made', ago(s.created)],
    ];
    if (s.fold?.began || s.generation) list.push(['Folds', s.fold?.began ? `${count(s.fold.rows)} rows …` : count(s.generation)]);
    keyed(facts, list, ([n]) => n, ([n, , title]) => el('div', { title: title ?? '' }, el('dt', {}, n), el('dd', { class: 'num' })), (node, [, v]) => text(node.lastChild, v));
    drawNotes();
    rows.columns(s.columns);
    if (actions.childElementCount === 0) {
      put(actions, session.level === 'full' && [
        el('a', { class: 'button', href: `#/row?${new URLSearchParams({ table: name })}` }, 'Where is a row?'),
        el('button', { class: 'button', type: 'button', title: 'Give the log a new beginning, so that new readers have less to read', onclick: fold }, 'Fold'),
        el('button', { class: 'button danger', type: 'button', onclick: remove }, 'Delete')]);
    }
  }

  function params(s) {
    if (!s.params?.length) return null;
    return el('div', { class: 'quiet values' }, s.params.map((p, i) => [i ? ', ' : '', `$${i + 1} = `, p === null ? 'NULL' : el('code', {}, p)]));
  }

  function drawNotes() {
    const out = [];
    if (info?.state === 'ended' || said?.is === 'ended') out.push(el('div', { class: 'note bad' }, el('span', { class: 'dot bad' }), el('div', {}, el('strong', {}, 'This shape has ended. '), info?.reason || said?.text || '', ' An app that asks for it gets a new one, under another handle.')));
    else if (info?.state === 'creating') out.push(note('warn', 'It is being made.', info.reason || 'Its first rows are being read.'));
    if (said?.is === 'stalled') out.push(note('warn', 'Not up to date.', said.text));
    if (info?.fold?.error) out.push(note('warn', 'Folding fails, and is tried again.', info.fold.error));
    if (info?.subqueries?.length) out.push(el('div', { class: 'note' }, el('span', { class: 'dot good' }), el('div', {}, el('strong', {}, 'It selects from '), info.subqueries.map((h, i) => [i ? ', ' : '', el('a', { class: 'link mono', href: `#/shapes/${h}` }, h)]), '. When what these select changes, several transactions come as one unit.')));
    put(notes, out);
  }

  async function fold() {
    try {
      take(await post(`shapes/${handle}/fold`));
      toast('The log is folded in a while.');
    } catch (error) {
      toast(error.message);
    }
  }

  function remove() {
    const d = el('dialog', { onclose: () => d.remove() }, el('form', { method: 'dialog', onsubmit: async (e) => {
      if (e.submitter?.value !== 'yes') return;
      try {
        await post(`shapes/${handle}/delete`);
        toast('The shape is deleted.');
        go('#/shapes');
      } catch (error) {
        toast(error.message);
      }
    } },
    el('div', {}, el('h2', {}, `Delete the shape of ${name}?`), el('p', { class: 'soft' }, 'All its readers are told to begin again. An app that asks for it again gets a new one.')),
    el('div', { class: 'ends' }, el('button', { class: 'button', value: 'no' }, 'Keep it'), el('button', { class: 'button danger', value: 'yes' }, 'Delete'))));
    document.body.append(d);
    d.showModal();
  }

  async function refresh() {
    try {
      const s = await get(`shapes/${handle}`);
      if (gone) return;
      take(s);
    } catch (error) {
      if (gone) return;
      if (error.status === 404) {
        close();
        put(notes, el('div', { class: 'note bad' }, el('span', { class: 'dot bad' }), el('div', {}, el('strong', {}, 'There is no such shape. '), error.message)));
        if (!info) {
          text(title, 'Not here');
          live.remove();
          facts.remove();
        }
        return;
      }
      put(notes, note('bad', 'This cannot be told just now.', error.message));
    }
    timer = setTimeout(refresh, 2000);
  }

  refresh();
  if (session.level === 'full') {
    close = listen(`shapes/${handle}/live`, {
      shape: (s) => {
        take(s);
        rows.clear();
      },
      feed: (f) => {
        if (f.phase) {
          said = f.phase;
          drawNotes();
          rows.phase(f.phase);
          news.phase(f.phase);
          if (f.phase.is === 'changes') counted = -1;
          if (f.phase.is === 'ended') close();
        }
        if (f.rows) {
          rows.take(f.rows);
          if (counted !== f.rows.total) {
            counted = f.rows.total;
            if (info) drawInfo(info);
          }
        }
        if (f.news) {
          if (said?.is === 'changes' || said?.is === 'stalled') rows.changes(f.news);
          news.take(f.news, f.skipped ?? 0, info?.columns ?? []);
        }
      },
    });
  }
  return () => {
    gone = true;
    clearTimeout(timer);
    close();
  };
}
