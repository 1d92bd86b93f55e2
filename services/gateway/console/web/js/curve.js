import { el, svg, text } from './dom.js';

// curve is a chart of the last two minutes: one line, its scale, and the value now. It is drawn by the browser's own means; what
// moves is the path alone.
export function curve({ title, form, pick, unit }) {
  const wide = 600;
  const high = 120;
  const line = svg('path', { class: 'curve-line', 'vector-effect': 'non-scaling-stroke' });
  const area = svg('path', { class: 'curve-area' });
  const rules = [0.5, 1].map((at) => svg('line', { class: 'curve-rule', x1: 0, x2: wide, y1: high - at * (high - 8), y2: high - at * (high - 8), 'vector-effect': 'non-scaling-stroke' }));
  const top = el('span', { class: 'curve-top num' });
  const value = el('span', { class: 'curve-value num' });
  const node = el('figure', { class: 'panel curve' },
    el('figcaption', {}, el('span', { class: 'label' }, title), value),
    el('div', { class: 'curve-plot' },
      svg('svg', { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, rules, area, line), top),
    el('div', { class: 'curve-axis quiet' }, el('span', {}, '2 min ago'), el('span', {}, 'now')));
  let scale = 0;
  return {
    node,
    draw(points) {
      const now = Date.now();
      const seen = points.filter((p) => now - p.at < 122_000);
      const most = nice(Math.max(...seen.map(pick), unit));
      // The scale grows at once and shrinks late, so that the curve does not breathe.
      scale = most > scale || most < scale / 4 ? most : scale;
      const xy = seen.map((p) => [wide - (now - p.at) / 120_000 * wide, high - Math.min(pick(p) / scale, 1) * (high - 8)]);
      const path = smooth(xy);
      line.setAttribute('d', path);
      area.setAttribute('d', path && `${path} L ${xy.at(-1)[0].toFixed(1)} ${high} L ${xy[0][0].toFixed(1)} ${high} Z`);
      text(top, form(scale));
      text(value, seen.length ? form(pick(seen.at(-1))) : '–');
    },
  };
}

// nice is the next round number of bytes above n.
function nice(n) {
  let unit = 1;
  while (n >= unit * 1000) unit *= 1024;
  return [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((k) => k * unit).find((k) => k >= n) ?? n;
}

function smooth(points) {
  if (points.length === 0) return '';
  let d = `M ${points[0][0].toFixed(1)} ${points[0][1].toFixed(1)}`;
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1];
    const [x1, y1] = points[i];
    const half = (x0 + x1) / 2;
    d += ` C ${half.toFixed(1)} ${y0.toFixed(1)} ${half.toFixed(1)} ${y1.toFixed(1)} ${x1.toFixed(1)} ${y1.toFixed(1)}`;
  }
  return d;
}
