// Numbers and times for people. Each has one form whose width stays about the same, so that what is live does not jump.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

export const count = (n) => (n === undefined || n === null || n < 0 ? '–' : whole.format(n));

const units = ['B', 'KB', 'MB', 'GB', 'TB'];

// size gives [number, unit].
export function size(bytes) {
  let n = Math.max(bytes ?? 0, 0);
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  const digits = unit === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
  return [unit === 0 ? whole.format(n) : n.toFixed(digits), units[unit]];
}

export const bytes = (n) => size(n).join(' ');
export const rate = (n) => `${bytes(n)}/s`;

// cores is a share of CPU time, in per cent of a core.
export function cores(n) {
  if (!n) return '–';
  const part = n * 100;
  return part < 0.1 ? '<0.1 %' : `${part.toFixed(part < 9.95 ? 1 : 0)} %`;
}

export const coresTitle = 'Of a core, for judging changes. Shapes that take little are not measured.';

// amount gives [number, unit] of things per second.
export function amount(n) {
  if (n >= 999_950) return [(n / 1e6).toFixed(2), 'M'];
  if (n >= 9_995) return [(n / 1e3).toFixed(1), 'k'];
  return [n >= 10 || n === 0 ? whole.format(n) : n.toFixed(1), ''];
}

export function duration(seconds) {
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export const clock = (time) => new Date(time).toLocaleTimeString('en-GB');

export function day(time) {
  const of = new Date(time);
  const today = new Date();
  if (of.toDateString() === today.toDateString()) return 'Today';
  return of.toLocaleDateString('en-GB', { weekday: 'long', day: 'numeric', month: 'long' });
}

export const ago = (time) => `${duration(Math.max((Date.now() - new Date(time)) / 1000, 0))} ago`;

export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
