import { el } from './dom.js';

const tokens = /(E?'(?:[^'\\]|''|\\.)*'?)|("(?:[^"]|"")*"?)|(\$\d+)|(\b\d+(?:\.\d+)?\b)|([A-Za-z_][A-Za-z0-9_]*)|(\s+)|(::[a-z][a-z ]*(?:\[\])?)|([^\sA-Za-z0-9_'"$]+|.)/g;

const words = new Set(('and or not in is null true false select from where exists any all between like ilike similar to distinct unknown as ' +
  'collate array case when then else end cast on').split(' '));

// sql shows a clause as text in colours.
export function sql(text) {
  const out = el('code', { class: 'sql' });
  for (const m of text.matchAll(tokens)) {
    const [all, string, quoted, param, number, word] = m;
    if (string !== undefined || number !== undefined || param !== undefined) out.append(el('span', { class: 'sql-value' }, all));
    else if (word !== undefined && words.has(word.toLowerCase())) out.append(el('span', { class: 'sql-word' }, all));
    else out.append(quoted ?? all);
  }
  return out;
}

const plainName = /^"[a-z_][a-z0-9_]*"$/;

// plain takes off what a clause that is written out in full has for Postgres: quotes of plain names, types of constants,
// collations, and the table in front of columns.
export function plain(text) {
  const kept = [];
  for (const m of text.matchAll(tokens)) {
    const [all, string, quoted] = m;
    const number = /^'(-?\d+(?:\.\d+)?)'$/.exec(string ?? '');
    if (number && /^::(integer|bigint|smallint|numeric|real|double precision)(?![a-z[])/.test(text.slice(m.index + all.length))) kept.push(number[1]);
    else if (quoted !== undefined && plainName.test(quoted) && !words.has(quoted.slice(1, -1))) kept.push(quoted.slice(1, -1));
    else if (m[7] !== undefined) {
      // "::integer AND" scans as one: only the type's own words go.
      const rest = m[7].replace(/^::(timestamp with(out)? time zone|time with(out)? time zone|double precision|character varying|[a-z]+)(\[\])?/, '');
      kept.push(rest);
    } else kept.push(all);
  }
  return kept.join('').replace(/ COLLATE "C"/g, '').replace(/\bpublic\./g, '');
}
