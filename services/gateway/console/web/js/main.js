import { el, icon, mark, put, text } from './dom.js';
import { ask, get, listen, onEnd, post } from './api.js';
import { pulse } from './pulse.js';
import { duration } from './format.js';
import { flow } from './flow.js';
import { shapes } from './shapes.js';
import { shape } from './shape.js';
import { row } from './row.js';
import { events } from './events.js';

// The pages, in the order in which they stand in the navigation. An address is #/<name>/…; what is in it stays in the browser.
const pages = [
  { name: 'flow', title: 'Flow', show: flow },
  { name: 'shapes', title: 'Shapes', show: shapes },
  { name: 'row', title: 'A row', show: row },
  { name: 'events', title: 'Events', show: events },
];

const app = document.getElementById('app');
let leave = null; // takes the page down that is shown
let session = null;

function address() {
  const [path, query = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(decodeURIComponent);
  return { page: parts[0] ?? 'flow', rest: parts.slice(1), query: new URLSearchParams(query) };
}

// ---- the frame

function frame() {
  const main = el('main', { class: 'main', id: 'main' });
  const links = pages.map((p, i) => el('a', { href: `#/${p.name}`, 'data-page': p.name, title: `${p.title} (${i + 1})` },
    icon(p.name === 'row' ? 'row' : p.name), el('span', {}, p.title), el('span', { class: 'tag num' })));
  const dot = el('span', { class: 'dot none' });
  const says = el('strong', {}, 'Connecting …');
  const more = el('span', { class: 'where cut' }, session.source);
  const theme = el('button', { class: 'button bare', type: 'button', title: 'Theme (t)', 'aria-label': 'Theme', onclick: turnTheme });
  const tools = el('div', { class: 'tools' }, theme,
    el('button', { class: 'button bare only-wide', type: 'button', title: 'Keys (?)', onclick: showKeys }, el('kbd', {}, '?')),
    el('button', { class: 'button bare', type: 'button', title: 'Sign out', 'aria-label': 'Sign out', onclick: signOut }, icon('out')));
  put(app, el('div', { class: 'frame' },
    el('aside', { class: 'side' },
      el('a', { class: 'brand', href: '#/flow' }, mark(), 'Shapebus'),
      el('nav', { class: 'nav', 'aria-label': 'Pages' }, links),
      el('div', { class: 'foot' }, el('div', { class: 'health', role: 'status' }, dot, says, more), tools)),
    main));
  drawTheme(theme);
  let seen = null;
  pulse.on((p) => {
    const bad = pulse.lost || p?.fault;
    const problems = p?.status?.problems?.length || p?.status?.down?.length;
    const late = !bad && p && p.status.lag_seconds > 5;
    dot.className = `dot ${bad || problems ? 'bad' : !p ? 'none' : late ? 'warn' : 'good live'}`;
    text(says, pulse.lost ? 'Not connected' : p?.fault ? 'No answer' : !p ? 'Connecting …' : problems ? 'Needs a person' : late ? 'Behind' : 'All is well');
    text(more, late ? `by ${duration(p.status.lag_seconds)}` : session.source);
    if (!p?.status) return;
    const live = Object.entries(p.status.shapes ?? {}).reduce((n, [, k]) => n + k, 0);
    text(links[1].lastChild, live || '');
    seen ??= p.last;
    const at = address().page === 'events';
    if (at) seen = p.last;
    links[3].lastChild.className = p.last > seen ? 'new' : 'tag';
  });
  return main;
}

function show() {
  if (!session?.level) return;
  const { page, rest, query } = address();
  const main = document.getElementById('main') ?? frame();
  leave?.();
  leave = null;
  const of = pages.find((p) => p.name === page) ?? pages[0];
  for (const a of document.querySelectorAll('.nav a')) {
    if (a.dataset.page === of.name) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  const view = el('div', { class: 'view' });
  put(main, view);
  scrollTo(0, 0);
  document.title = `${of.title} · Shapebus`;
  const context = { session, rest, query, go: (to) => { location.hash = to; }, toast };
  leave = of.name === 'shapes' && rest.length > 0 ? shape(view, context) : of.show(view, context);
}

export function toast(words) {
  document.querySelector('.toast')?.remove();
  const t = el('div', { class: 'toast', role: 'status' }, words);
  document.body.append(t);
  setTimeout(() => t.remove(), 3200);
}

// ---- the theme

const themes = ['auto', 'light', 'dark'];

function themeNow() {
  return document.documentElement.dataset.theme ?? 'auto';
}

function drawTheme(button) {
  put(button, icon({ auto: 'half', light: 'sun', dark: 'moon' }[themeNow()]));
}

function turnTheme() {
  const next = themes[(themes.indexOf(themeNow()) + 1) % themes.length];
  if (next === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try { localStorage.setItem('shapebus.theme', next); } catch { /* it lasts as long as the page */ }
  const button = document.querySelector('.tools .button');
  if (button) drawTheme(button);
}

// ---- the session

function door(words = '') {
  leave?.();
  leave = null;
  pulse.stop();
  session = null;
  const wrong = el('p', { class: 'wrong', role: 'alert' }, words);
  const name = el('input', { class: 'hidden', type: 'text', name: 'username', autocomplete: 'username', value: 'console', tabindex: -1, 'aria-hidden': 'true', readonly: true });
  const secret = el('input', { class: 'input', type: 'password', id: 'secret', name: 'secret', autocomplete: 'current-password', required: true, placeholder: 'Secret' });
  const enter = el('button', { class: 'button first', type: 'submit' }, 'Open the console');
  const form = el('form', {
    onsubmit: async (event) => {
      event.preventDefault();
      enter.disabled = true;
      text(wrong, '');
      try {
        session = await post('session', { secret: secret.value });
        start();
      } catch (error) {
        text(wrong, error.message);
        enter.disabled = false;
        secret.select();
      }
    },
  },
  el('div', { class: 'brand' }, mark(30), 'Shapebus'),
  el('div', {}, el('h1', {}, 'The console'), el('p', {}, 'See how changes flow, and where a row is.')),
  el('div', { class: 'field' }, el('label', { for: 'secret' }, 'Secret of the console'), name, secret),
  enter, wrong);
  put(app, el('div', { class: 'door' }, form));
  secret.focus();
}

async function signOut() {
  try {
    await ask('DELETE', 'session');
  } catch { /* the door is shut here in any case */ }
  door();
}

function start() {
  put(app);
  pulse.start(listen);
  show();
}

// ---- the keyboard

function showKeys() {
  const rows = [['1 – 4', 'Flow, shapes, a row, events'], ['/', 'Search'], ['n', 'New shape'], ['j  k', 'Next, previous in a list'], ['Enter', 'Open'], ['t', 'Theme'], ['Esc', 'Close, or back']];
  const d = el('dialog', { onclose: () => d.remove() },
    el('form', { method: 'dialog' },
      el('div', { class: 'top' }, el('div', {}, el('h2', {}, 'Keys')), el('button', { class: 'button bare', 'aria-label': 'Close' }, icon('close'))),
      el('div', { class: 'keys' }, rows.map(([k, what]) => [el('span', {}, k.split('  ').map((x) => [el('kbd', {}, x), ' '])), el('span', { class: 'soft' }, what)]))));
  document.body.append(d);
  d.showModal();
}

addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !session?.level || document.querySelector('dialog[open]')) return;
  const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (typing) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const n = Number(event.key);
  if (n >= 1 && n <= pages.length) location.hash = `#/${pages[n - 1].name}`;
  else if (event.key === '/') {
    event.preventDefault();
    if (address().page !== 'shapes' || address().rest.length) location.hash = '#/shapes';
    setTimeout(() => document.querySelector('[data-search]')?.focus());
  } else if (event.key === 'n') {
    if (address().page !== 'shapes' || address().rest.length) location.hash = '#/shapes';
    setTimeout(() => document.querySelector('[data-new]')?.click());
  } else if (event.key === 't') turnTheme();
  else if (event.key === '?') showKeys();
  else if (event.key === 'Escape' && address().rest.length) location.hash = `#/${address().page}`;
  else if (event.key === 'j' || event.key === 'k') {
    const all = [...document.querySelectorAll('[data-item]')];
    const at = all.indexOf(document.activeElement);
    const next = all[event.key === 'j' ? Math.min(at + 1, all.length - 1) : Math.max(at - 1, 0)];
    next?.focus();
  }
});

onEnd(() => {
  if (session) door('The session is over. Sign in again.');
});
addEventListener('hashchange', show);

try {
  session = await get('session');
  if (session.level) start();
  else door();
} catch (error) {
  door(error.message);
}
