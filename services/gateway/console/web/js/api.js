// What the pages ask of the console. An error has words for people.

export class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

let ended = () => {};

// onEnd is called when the session turns out to be over.
export function onEnd(f) {
  ended = f;
}

export async function ask(method, path, body, signal) {
  let answer;
  try {
    answer = await fetch(`api/${path}`, {
      method, signal, credentials: 'same-origin',
      headers: body === undefined ? {} : { 'Content-Type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refused(0, 'The gateway does not answer. Is it running?');
  }
  if (answer.status === 204) return null;
  let data = null;
  try {
    data = await answer.json();
  } catch {
    throw new Refused(answer.status, `The gateway’s answer (status ${answer.status}) cannot be read.`);
  }
  if (answer.ok) return data;
  if (answer.status === 401 && path !== 'session') ended();
  throw new Refused(answer.status, data.error ?? `Status ${answer.status}`);
}

export const get = (path, signal) => ask('GET', path, undefined, signal);
export const post = (path, body = {}, signal) => ask('POST', path, body, signal);

// listen opens a stream of events and keeps it open; it returns what closes it. lost is called with why it broke, and with
// null when it is back.
export function listen(path, handlers, lost) {
  let source = null;
  let timer = 0;
  let closed = false;
  let pause = 500;
  const open = () => {
    source = new EventSource(`api/${path}`);
    source.onopen = () => {
      pause = 500;
      lost?.(null);
    };
    for (const [name, handle] of Object.entries(handlers)) {
      source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
    }
    source.onerror = async () => {
      source.close();
      if (closed) return;
      try {
        const who = await get('session');
        if (!who.level) return ended();
        if (pause > 500) lost?.('The connection broke, and is opened again.');
      } catch (error) {
        lost?.(error.message);
      }
      if (closed) return;
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, 5000);
    };
  };
  open();
  return () => {
    closed = true;
    clearTimeout(timer);
    source.close();
  };
}
