import { el, keyed, put, text } from './dom.js';
import { get } from './api.js';
import { clock, day, duration } from './format.js';
import { pulse } from './pulse.js';

const kinds = [['', 'All'], ['ended', 'Ended'], ['shape', 'Made'], ['partition', 'Hand-overs'], ['retry', 'Retries'], ['problem', 'Problems']];
const also = { problem: ['problem', 'slot', 'answer'], shape: ['shape', 'fold'] };
let kind = '';

// events lists what happened since the console has looked.
export function events(view) {
  const says = el('p', {}, 'Looking …');
  const chips = kinds.map(([k, name]) => el('button', { class: 'chip', type: 'button', 'aria-pressed': String(kind === k), onclick: () => { kind = k; draw(); } }, name, el('span', { class: 'num' })));
  const list = el('div', { class: 'happened' });
  const empty = el('div', { class: 'panel empty' });
  view.append(el('div', { class: 'head' }, el('div', {}, el('h1', {}, 'Events'), says)), el('div', { class: 'chips', role: 'group', 'aria-label': 'Kind' }, chips), list, empty);
  empty.hidden = true;

  let told = null;
  let last = -1;
  let gone = false;

  async function load() {
    try {
      told = await get('events');
      if (!gone) draw();
    } catch (error) {
      if (!gone) text(says, error.message);
    }
  }

  const is = (e, k) => !k || (also[k] ?? [k]).includes(e.kind);

  function draw() {
    if (!told) return;
    text(says, `What happened since this gateway began to look, ${duration((Date.now() - new Date(told.since)) / 1000)} ago, and what had ended before.`);
    chips.forEach((chip, i) => {
      chip.setAttribute('aria-pressed', String(kind === kinds[i][0]));
      text(chip.lastChild, told.events.filter((e) => is(e, kinds[i][0])).length || '');
    });
    const shown = told.events.filter((e) => is(e, kind));
    const days = [];
    for (const e of shown) {
      const name = e.at ? day(e.at) : 'Before';
      if (days.at(-1)?.name !== name) days.push({ name, events: [] });
      days.at(-1).events.push(e);
    }
    keyed(list, days, (d) => d.name, (d) => el('section', {}, el('h2', { class: 'label' }, d.name), el('ol', { class: 'panel' })), (node, d) => keyed(node.lastChild, d.events, (e) => e.seq, happening));
    empty.hidden = shown.length > 0;
    if (!empty.hidden) put(empty, el('strong', {}, 'Nothing of this kind has happened'), el('p', {}, 'Shapes that end, partitions that go from one process to another, and what fails and is tried again stand here.'));
  }

  const off = pulse.on((p) => {
    if (!p || p.last === last) return;
    last = p.last;
    load();
  });
  load();
  return () => {
    gone = true;
    off();
  };
}

function happening(e) {
  return el('li', { class: 'happening' },
    el('time', { class: 'num quiet', datetime: e.at ?? '' }, e.at ? clock(e.at) : '–'),
    el('span', { class: `dot ${e.tone === 'info' ? 'none' : e.tone}` }),
    el('div', {}, e.shape ? el('a', { class: 'happening-title', href: `#/shapes/${e.shape}` }, e.title) : el('span', { class: 'happening-title' }, e.title),
      e.detail && el('p', { class: e.kind === 'shape' ? 'mono soft' : 'soft' }, e.detail)));
}
