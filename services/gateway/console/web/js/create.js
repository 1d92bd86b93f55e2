import { el, icon, put, text } from './dom.js';
import { post } from './api.js';
import { pulse } from './pulse.js';
import { plain, sql } from './sql.js';

// create asks for a shape in a dialog. The definition is checked as it is typed; what is wrong is shown where it is.
export function create({ done }) {
  const table = el('input', { class: 'input mono', id: 'new-table', list: 'new-tables', autocomplete: 'off', spellcheck: 'false', autocapitalize: 'none', required: true, placeholder: 'tasks', oninput: later });
  const where = el('textarea', { class: 'input', id: 'new-where', rows: 3, spellcheck: 'false', autocapitalize: 'none', placeholder: 'every row', oninput: later, onscroll: () => { under.scrollTop = where.scrollTop; } });
  const under = el('div', { class: 'clause-under', 'aria-hidden': 'true' });
  const says = el('div', { class: 'verdict', role: 'status' });
  const columns = el('div', { class: 'columns' });
  const params = el('div', { class: 'params' });
  const make = el('button', { class: 'button first', type: 'submit', disabled: true }, 'Make the shape');
  const dialog = el('dialog', { class: 'create', onclose: () => { clearTimeout(timer); wanted?.abort(); dialog.remove(); } },
    el('form', { onsubmit: submit },
      el('div', { class: 'top' }, el('div', {}, el('h2', {}, 'New shape'), el('p', {}, 'A live, filtered copy of a table.')),
        el('button', { class: 'button bare', type: 'button', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close'))),
      el('div', { class: 'field' }, el('label', { for: 'new-table' }, 'Table'), table, el('datalist', { id: 'new-tables' }, (pulse.now?.tables ?? []).map((t) => el('option', { value: t })))),
      el('div', { class: 'field' }, el('label', { for: 'new-where' }, 'Where'), el('div', { class: 'clause-box' }, under, where)),
      params, columns, says,
      el('div', { class: 'ends' }, el('button', { class: 'button', type: 'button', onclick: () => dialog.close() }, 'Cancel'), make)));
  let timer = 0;
  let wanted = null;
  let chosen = null; // columns, null for all
  let known = '';
  let values = [];
  document.body.append(dialog);
  dialog.showModal();
  table.focus();
  hint();

  function hint() {
    put(says, el('span', { class: 'quiet' }, 'Name a table; the clause is checked as you type.'));
  }

  function definition() {
    const used = [...where.value.matchAll(/\$(\d+)/g)].map((m) => Number(m[1]));
    const n = Math.min(Math.max(0, ...used), 50);
    while (values.length < n) values.push('');
    return { table: table.value.trim(), where: where.value.trim() ? where.value : '', columns: chosen ?? [], params: values.slice(0, n) };
  }

  function later() {
    make.disabled = true;
    drawParams(definition().params.length);
    underline(null);
    clearTimeout(timer);
    timer = setTimeout(check, 220);
  }

  function drawParams(n) {
    if (params.childElementCount === n) return;
    put(params, Array.from({ length: n }, (_, i) => el('div', { class: 'field' }, el('label', { for: `new-p${i}` }, `Value of $${i + 1}`),
      el('input', { class: 'input mono', id: `new-p${i}`, value: values[i] ?? '', oninput: (e) => { values[i] = e.target.value; later(); } }))));
  }

  async function check() {
    wanted?.abort();
    if (!table.value.trim()) return hint();
    wanted = new AbortController();
    try {
      draw(await post('check', definition(), wanted.signal));
    } catch (error) {
      if (error.name !== 'AbortError') put(says, verdict('bad', error.message));
    }
  }

  function draw(found) {
    const p = found.problem;
    drawColumns(found);
    underline(p?.field === 'where' ? p.position : null);
    make.disabled = Boolean(p);
    table.setAttribute('aria-invalid', String(p?.field === 'table'));
    where.setAttribute('aria-invalid', String(p?.field === 'where'));
    if (p) {
      put(says, verdict('bad', [p.position ? el('span', { class: 'place num' }, `Character ${p.position}`) : null, sentence(p.message), p.hint && el('span', { class: 'hint' }, sentence(p.hint))]));
      return;
    }
    put(says, verdict('good', [found.handle ? 'There is such a shape already; it will be opened.' : 'This can be made.',
      found.where && found.where !== 'true' && el('span', { class: 'hint' }, 'Understood as ', sql(plain(found.where))),
      found.hint && el('span', { class: 'hint' }, sentence(found.hint)),
      found.reads && el('span', { class: 'hint' }, `It follows ${found.reads.join(', ')} too.`)]));
    text(make, found.handle ? 'Open the shape' : 'Make the shape');
  }

  function verdict(tone, content) {
    return [el('span', { class: `dot ${tone}` }), el('div', {}, content)];
  }

  // underline marks the word at a position, counted in characters from 1.
  function underline(position) {
    if (!position) {
      put(under);
      return;
    }
    const all = [...where.value];
    const from = Math.min(position - 1, all.length);
    let to = from;
    while (to < all.length && /[\p{L}\p{N}_$"]/u.test(all[to])) to++;
    if (to === from) to = from + 1;
    put(under, all.slice(0, from).join(''), el('mark', {}, all.slice(from, to).join('') || ' '), all.slice(to).join(''));
    under.scrollTop = where.scrollTop;
  }

  function drawColumns(found) {
    if (!found.columns) {
      put(columns);
      known = '';
      return;
    }
    const name = `${found.schema}.${found.table}`;
    if (known === name) return;
    known = name;
    chosen = null;
    put(columns, el('span', { class: 'label' }, 'Columns'), el('div', { class: 'chips' }, found.columns.map((c) => el('button', {
      class: 'chip', type: 'button', 'aria-pressed': 'true', title: c.type_name, disabled: c.key && found.has_key, onclick: (e) => {
        const on = e.currentTarget.getAttribute('aria-pressed') !== 'true';
        e.currentTarget.setAttribute('aria-pressed', String(on));
        const names = [...columns.querySelectorAll('.chip')].filter((b) => b.getAttribute('aria-pressed') === 'true').map((b) => b.dataset.name);
        chosen = names.length === found.columns.length ? null : names;
        later();
      }, 'data-name': c.name,
    }, c.name, c.key && found.has_key && el('span', { class: 'quiet' }, 'key')))));
  }

  async function submit(event) {
    event.preventDefault();
    make.disabled = true;
    put(says, verdict('', 'Making it …'));
    try {
      const made = await post('shapes', definition());
      dialog.close();
      done(made);
    } catch (error) {
      put(says, verdict('bad', error.message));
      make.disabled = false;
    }
  }
}

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?…]$/.test(words) ? ' ' : '. ');
