// Elements are made here and nowhere else. Text becomes text nodes, never markup: what comes from tables cannot be anything
// else than text, whatever it holds.

const svgSpace = 'http://www.w3.org/2000/svg';

export function el(tag, props, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function svg(tag, props, ...children) {
  return fill(document.createElementNS(svgSpace, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name === 'class') node.setAttribute('class', value);
    else if (name === 'value') node.value = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  add(node, children);
  return node;
}

function add(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === undefined || child === null || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
}

export function put(node, ...children) {
  node.replaceChildren();
  add(node, children);
  return node;
}

// text sets a text only where it changed, so that nothing is drawn again that stayed.
export function text(node, value) {
  const now = String(value);
  if (node.textContent !== now) node.textContent = now;
  return node;
}

// keyed makes the children of a node those of a list: what stays is kept, with its focus and its hover.
export function keyed(node, items, keyOf, make, update) {
  const have = node.keyed ??= new Map();
  const seen = new Set();
  let before = null;
  for (const item of items) {
    const key = keyOf(item);
    seen.add(key);
    let child = have.get(key);
    if (!child) {
      child = make(item);
      have.set(key, child);
    }
    update?.(child, item);
    const next = before ? before.nextSibling : node.firstChild;
    if (next !== child) node.insertBefore(child, next);
    before = child;
  }
  for (const [key, child] of have) {
    if (seen.has(key)) continue;
    have.delete(key);
    child.remove();
  }
}

const icons = {
  flow: 'M3 6h4.500c4 0 4.500 6 8.500 6H21 M3 18h4.500c4 0 4.500-6 8.500-6 M3 12h5',
  shapes: 'M4 5h7v6H4z M13 5h7v6h-7z M4 13h7v6H4z M13 13h7v6h-7z',
  row: 'M12 21s-6.500-5.600-6.500-11a6.500 6.500 0 0 1 13 0c0 5.400-6.500 11-6.500 11z M12 7.800a2.200 2.200 0 1 0 .01 0',
  events: 'M12 7v5l3 2 M12 3a9 9 0 1 0 .01 0',
  sun: 'M12 8a4 4 0 1 0 .01 0 M12 2.500v2 M12 19.500v2 M2.500 12h2 M19.500 12h2 M5.300 5.300l1.400 1.400 M17.300 17.300l1.400 1.400 M5.300 18.700l1.400-1.400 M17.300 6.700l1.400-1.400',
  moon: 'M20 14.500A8.500 8.500 0 0 1 9.500 4 8.500 8.500 0 1 0 20 14.500z',
  half: 'M12 3a9 9 0 1 0 .01 0 M12 3v18',
  out: 'M14 4h5v16h-5 M4 12h10 M10 8l4 4-4 4',
  search: 'M10.500 4a6.500 6.500 0 1 0 .01 0 M15.500 15.500L20 20',
  plus: 'M12 5v14 M5 12h14',
  close: 'M6 6l12 12 M18 6L6 18',
  back: 'M14 6l-6 6 6 6',
  copy: 'M9 9h10v11H9z M5 15V4h10',
};

export function icon(name, size = 18) {
  return svg('svg', { class: 'icon', viewBox: '0 0 24 24', width: size, height: size, 'aria-hidden': 'true' }, svg('path', { d: icons[name] }));
}

export function mark(size = 26) {
  return el('img', { src: 'mark.svg', width: size, height: size, alt: '' });
}
