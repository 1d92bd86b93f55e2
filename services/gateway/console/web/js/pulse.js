// The pulse is what all pages have in common: the state of the source, told about once a second.

const longest = 120;

export const pulse = {
  now: null,
  history: [],
  lost: null,
  told: new Set(),
  close: null,

  start(listen) {
    this.stop();
    this.close = listen('pulse', { pulse: (p) => this.take(p) }, (lost) => {
      this.lost = lost;
      this.tell();
    });
  },

  stop() {
    this.close?.();
    this.close = null;
    this.now = null;
    this.history = [];
    this.told.clear();
  },

  take(p) {
    for (const point of p.history ?? []) {
      const last = this.history.at(-1);
      if (!last || point.at > last.at) this.history.push(point);
    }
    this.history = this.history.slice(-longest);
    this.now = p.status ? p : this.now && { ...this.now, fault: p.fault, since: p.since };
    this.lost = null;
    if (!this.now && p.fault) this.lost = p.fault;
    this.tell();
  },

  tell() {
    for (const f of this.told) f(this.now);
  },

  // on calls f now and at each beat, until what it returns is called.
  on(f) {
    this.told.add(f);
    f(this.now);
    return () => this.told.delete(f);
  },
};
