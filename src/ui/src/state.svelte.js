// All that the reader's page knows, and everything it can do. Components show it and call it; only this file calls the API for items and sources.
//
// What the reader does shows at once and is taken back when the server refuses (optimistic). Lists are paged by the server's cursor; rows never move under
// the reader: what arrives is announced, and shown when asked for.
import { SvelteMap } from 'svelte/reactivity';
import { api } from './api.js';
import { problem, setLanguage, t } from './i18n.svelte.js';
import { remember } from './look.js';
import { parse, print } from './route.js';
import { clean } from './sanitise.js';
import { host, webAddress } from './text.js';

const PAGE = 40;
const SKIM_MS = 1000;            // an item shown for less was passed over, not opened: no signal
const STALE_MS = 250;            // rows of the place before stand under the new heading no longer than this
const FINISH_MS = 5000;          // an article whose end was seen counts as finished only after that
const DEFAULTS = { language: 'auto', theme: 'auto', order: 'newest', state: 'unread', keep_days: 365, counts: 'count', images: true, shortcuts: true, keys: {} };

// One item in the list; the same object stands in the list and in the article pane.
class Row {
  read = $state(false);
  starred = $state(false);
  taste = $state(0);             // +1 liked, −1 disliked, in this visit
  whyOpen = $state(false);
  #fragment = null;              // the cleaned article, made ahead
  constructor(item) {
    this.item = item;
    this.id = item._weir.id;
    this.source = item._weir.source;
    this.read = Boolean(item._weir.read);
    this.starred = Boolean(item._weir.starred);
  }
  // The article as fresh nodes. Plain text becomes paragraphs.
  body(images) {
    if (this.#fragment?.images !== images) {
      const { content_html, content_text, summary, url } = this.item;
      const label = (kind, host) => t(`media_${kind}`, { host });
      let nodes;
      if (content_html) nodes = clean(content_html, { base: webAddress(url), images, label });
      else {
        nodes = document.createDocumentFragment();
        for (const text of (content_text ?? summary ?? '').split(/\n\s*\n/)) {
          const p = document.createElement('p');
          p.textContent = text;
          nodes.append(p);
        }
      }
      this.#fragment = { images, nodes };
    }
    return this.#fragment.nodes.cloneNode(true);
  }
}

class Reader {
  me = $state.raw(null);
  settings = $state({ ...DEFAULTS });
  sources = $state([]);
  view = $state.raw(parse(''));
  rows = $state.raw([]);
  cursor = $state('');
  note = $state.raw(null);           // what the server says of the order
  loading = $state(false);
  problem = $state('');          // why the list is not there
  selected = $state(0);          // id of the row that keys act on
  open = $state.raw(null);       // the Row in the article pane
  fresh = $state(0);             // items that have come in and are not shown
  now = $state(Date.now());
  toast = $state('');
  dialog = $state('');           // 'help', 'add', 'edit', 'mark'
  sidebar = $state(true);
  pane = $state('list');         // what a narrow window shows: sources, list, article
  progress = $state.raw(null);   // {encoded, queued} of the encoder

  #turn = 0;                     // answers to an older question are dropped
  #opened = null;                // {row, at, finished} of the article on show
  #toastTimer = 0;
  #shown = false;
  #rowsOf = '';                  // what the rows on show are of: key()
  #marked = new Map();           // item → when this window last changed it; 0: marked many
  #byId = new SvelteMap();

  folders = $derived.by(() => {
    const named = new Map();
    for (const source of this.sources) {
      const name = source.folder ?? '';
      if (!named.has(name)) named.set(name, []);
      named.get(name).push(source);
    }
    return [...named].sort(([a], [b]) => (a === '') - (b === '') || a.localeCompare(b))
      .map(([name, sources]) => ({ name, sources, unread: sources.reduce((sum, source) => sum + (source.unread ?? 0), 0) }));
  });
  unread = $derived(this.sources.reduce((sum, source) => sum + (source.unread ?? 0), 0));
  source = $derived(this.sources.find((source) => source.id === this.view.source) ?? null);
  taste = $derived(this.me?.taste ?? { signals: 0, enough: true, model: true });

  sourceNamed(id) {
    return this.#byId.get(id);
  }

  async start() {
    const [me, settings] = await Promise.all([api.me(), api.settings()]);
    this.useMe(me);
    this.useSettings(settings);
    this.follow(location.hash);
    addEventListener('popstate', () => this.follow(location.hash));
    addEventListener('pagehide', () => this.#leave());
    document.addEventListener('visibilitychange', () => document.hidden && this.#leave());
    setInterval(() => (this.now = Date.now()), 30_000);
    this.#listen();
    await this.loadSources();
  }

  useMe(me) {
    this.me = me;
    this.progress = me.encoding ?? null;
  }

  // Who we are and how far the encoder is, again: a page may have missed events, or get none.
  lookAtMe() {
    return api.me().then((me) => this.useMe(me), () => {});
  }

  // ── settings ──
  useSettings(settings) {
    Object.assign(this.settings, DEFAULTS, settings);
    setLanguage(this.settings.language);
    document.documentElement.dataset.theme = this.settings.theme;
    remember({ language: this.settings.language, theme: this.settings.theme });
  }

  async set(changes) {
    const before = $state.snapshot(this.settings);
    this.useSettings({ ...before, ...changes });
    await this.try(() => api.saveSettings($state.snapshot(this.settings)), () => this.useSettings(before));
  }

  // ── where we are ──
  follow(fragment) {
    const view = parse(fragment, { order: this.settings.order, state: this.settings.state });
    const same = this.rows.length && key(view) === key(this.view) && view.page === this.view.page;
    const before = this.view;
    this.view = view;
    if (view.page === 'settings') {
      this.close(false);
      this.pane = 'list';
      return;
    }
    if (!same || before.page !== 'list') this.load();
    if (view.item && this.open?.id !== view.item) this.#openById(view.item);
    if (!view.item) {
      this.close(false);
      if (this.pane === 'article') this.pane = 'list';
    }
  }

  go(changes, replace = false) {
    const fragment = print({ ...this.view, page: 'list', item: 0, ...changes });
    if (fragment === location.hash) {
      this.pane = 'list';
      return this.load();
    }
    history[replace ? 'replaceState' : 'pushState'](null, '', fragment);
    this.pane = 'list';
    const turn = this.#turn;
    this.follow(fragment);
    if (turn === this.#turn && this.view.page === 'list') this.load();   // the same place, asked for again
  }

  goSettings() {
    this.go({ page: 'settings' });
  }

  // ── lists ──
  get query() {
    const { order, state, source, folder, q } = this.view;
    return { order, state, source: source || '', folder, q, limit: PAGE };
  }

  async load() {
    const turn = ++this.#turn;
    this.loading = true;
    this.problem = '';
    this.fresh = 0;
    const of = key(this.view);
    const stale = of !== this.#rowsOf && setTimeout(() => {
      this.rows = [];
      this.cursor = '';
      this.note = null;
    }, STALE_MS);
    try {
      const page = await api.items(this.query);
      clearTimeout(stale);
      if (turn !== this.#turn) return;
      this.#rowsOf = of;
      this.rows = page.items.map((item) => this.#row(item));
      this.cursor = page.cursor ?? '';
      this.note = { text: page.note ?? '', says: page.note_says };
      if (!this.rows.some((row) => row.id === this.selected)) this.selected = this.open?.id ?? 0;
      if (!this.#shown) requestAnimationFrame(() => performance.mark('first-rows'));   // a budget that tests measure
      this.#shown = true;
    } catch (error) {
      clearTimeout(stale);
      if (turn !== this.#turn) return;
      this.rows = [];
      this.cursor = '';
      this.note = null;
      this.#rowsOf = '';
      this.problem = message(error);
    }
    this.loading = false;
  }

  async more() {
    if (!this.cursor || this.loading) return;
    const turn = ++this.#turn;
    this.loading = true;
    try {
      const page = await api.items({ ...this.query, cursor: this.cursor });
      if (turn !== this.#turn) return;
      const known = new Set(this.rows.map((row) => row.id));
      this.rows = [...this.rows, ...page.items.filter((item) => !known.has(item._weir.id)).map((item) => this.#row(item))];
      this.cursor = page.cursor ?? '';
    } catch (error) {
      this.say(message(error));
    }
    if (turn === this.#turn) this.loading = false;
  }

  #row(item) {
    if (this.open?.id === item._weir.id) return this.open;
    const row = new Row(item);
    row.whyOpen = this.rows.some((known) => known.id === row.id && known.whyOpen);   // a list that comes anew closes nothing
    return row;
  }

  get current() {
    return this.rows.find((row) => row.id === this.selected) ?? this.open;
  }

  // The row `by` places on; loads the next page at the end.
  async step(by) {
    const at = this.rows.findIndex((row) => row.id === this.selected);
    if (by > 0 && at === this.rows.length - 1 && this.cursor) await this.more();
    const next = this.rows[at < 0 ? (by > 0 ? 0 : -1) : at + by];
    if (next) this.selected = next.id;
    return next ?? null;
  }

  // ── the article ──
  show(row, replace = Boolean(this.open) || Boolean(history.state?.closed)) {
    this.selected = row.id;
    if (this.open?.id !== row.id) {
      this.#leave();
      this.open = row;
      this.#opened = { row, at: performance.now(), finished: false };
      const fragment = print({ ...this.view, item: row.id });
      if (fragment !== location.hash) history[replace ? 'replaceState' : 'pushState'](null, '', fragment);
      this.view = { ...this.view, item: row.id };
      if (!row.read) this.markRow(row, { read: true });
      this.#prefetch(row);
    }
    this.pane = 'article';
  }

  close(navigate = true) {
    if (!this.open) return;
    this.#leave();
    this.open = null;
    this.#opened = null;
    if (!navigate) return;
    this.view = { ...this.view, item: 0 };
    history.replaceState({ closed: true }, '', print(this.view));   // the next article takes this entry: opening and closing leaves no trail to go back over
    this.pane = 'list';
  }

  // The end of the article is in sight.
  finished() {
    const opened = this.#opened;
    if (!opened || opened.finished || performance.now() - opened.at < FINISH_MS) return;
    opened.finished = true;
    this.#signal(opened.row, 'finish');
  }

  async #openById(id) {
    const row = this.rows.find((row) => row.id === id);
    if (row) return this.show(row);
    try {
      const item = await api.item(id);
      if (this.view.item === id) this.show(this.rows.find((row) => row.id === id) ?? new Row(item));
    } catch (error) {
      this.say(message(error));
    }
  }

  // The next article is cleaned before it is asked for: what is left for the key press is to show it.
  #prefetch(row) {
    const next = this.rows[this.rows.indexOf(row) + 1];
    if (next) (globalThis.requestIdleCallback ?? setTimeout)(() => next.body(this.settings.images));
  }

  #leave() {
    const opened = this.#opened;
    if (!opened) return;
    const ms = performance.now() - opened.at;
    if (ms >= SKIM_MS && !opened.sent) {
      opened.sent = true;
      this.#signal(opened.row, 'open', { dwell_s: Math.round(ms / 100) / 10 });
    }
  }

  async #signal(row, kind, more = {}) {
    this.#marked.set(row.id, Date.now());
    const id = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0')).join('');
    const at = new Date().toISOString();
    return api.signal({ id, item: row.id, kind, at, ...more }).then(
      () => {
        if (this.me?.taste) this.me = { ...this.me, taste: { ...this.me.taste, signals: this.me.taste.signals + 1, enough: this.me.taste.enough || this.me.taste.signals + 1 >= 10 } };
        return true;
      },
      (error) => (kind === 'like' || kind === 'dislike' ? Promise.reject(error) : false),   // a lost dwell time is nobody's trouble
    );
  }

  // ── marks ──
  async markRow(row, patch) {
    this.#marked.set(row.id, Date.now());
    const before = { read: row.read, starred: row.starred };
    this.#apply(row, patch);
    await this.try(() => api.mark(row.id, patch), () => this.#apply(row, before));
  }

  #apply(row, patch) {
    if (patch.read !== undefined && patch.read !== row.read) {
      row.read = patch.read;
      const source = this.sourceNamed(row.source);
      if (source) source.unread = Math.max(0, (source.unread ?? 0) + (patch.read ? -1 : 1));
    }
    if (patch.starred !== undefined) row.starred = patch.starred;
  }

  async judge(row, direction) {
    if (row.taste === direction) return;
    const before = row.taste;
    row.taste = direction;
    this.say(t(direction > 0 ? 'liked' : 'disliked'));
    await this.try(() => this.#signal(row, direction > 0 ? 'like' : 'dislike'), () => (row.taste = before));
  }

  // Marks what has arrived so far in the view's source, folder, or everywhere. Shown at once; a refusal brings the marks back.
  async markAll() {
    this.#marked.set(0, Date.now());
    const { source, folder } = this.view;
    const before = new Date().toISOString();
    const reach = this.sources.filter((one) => (source ? one.id === source : folder ? one.folder === folder : true));
    const counts = reach.map((one) => one.unread);
    const rows = this.rows.filter((row) => !row.read);
    for (const one of reach) one.unread = 0;
    for (const row of rows) row.read = true;
    await this.try(async () => {
      const answer = await api.markRead({ ...(source ? { source } : folder ? { folder } : { all: true }), before });
      this.say(t('marked', { n: answer.marked }));
      this.loadSources();
    }, () => {
      reach.forEach((one, at) => (one.unread = counts[at]));
      for (const row of rows) row.read = false;
    });
  }

  // ── sources ──
  async loadSources() {
    try {
      this.sources = (await api.sources()).map((source) => ({ ...source, name: source.title || host(source.url) || String(source.id) }));
      this.#byId.clear();
      for (const source of this.sources) this.#byId.set(source.id, source);
    } catch (error) {
      this.say(message(error));
    }
  }

  async refresh() {
    const { source, folder } = this.view;
    const reach = this.sources.filter((one) => one.kind !== 'push' && (source ? one.id === source : one.folder === folder));
    const asked = await this.try(() => (source || folder ? Promise.all(reach.map((one) => api.refreshSource(one.id))) : api.refresh()));
    if (asked) this.say(t('refreshing'));
    await this.load();
  }

  // ── events ──
  #listen() {
    const events = new EventSource('/events');
    let timer = 0;
    const soon = () => {   // many events, one look at the counters
      timer ||= setTimeout(() => {
        timer = 0;
        this.loadSources();
      }, 800);
    };
    events.addEventListener('items', (event) => {
      const data = json(event.data);
      const source = data.source ?? 0;
      const here = !this.view.source && !this.view.folder ? true : this.view.source ? source === this.view.source : this.sourceNamed(source)?.folder === this.view.folder;
      if (here && this.view.state !== 'starred' && !this.view.q) this.fresh += data.stored ?? 0;
      soon();
    });
    events.addEventListener('marks', (event) => {
      const data = json(event.data);
      if (Date.now() - (this.#marked.get(data.item ?? 0) ?? 0) < 5000) return;   // our own: shown already
      if (data.item) this.#look(data.item);
      else if (data.changed) this.#lookAtAll();
      soon();
    });
    events.addEventListener('source', soon);
    events.addEventListener('reload', () => this.load().then(soon));   // more happened than the server remembers
    events.addEventListener('progress', (event) => (this.progress = json(event.data)));
    events.addEventListener('error', () => {   // refused, not only interrupted: the browser gives up, and the session may have ended
      if (events.readyState !== EventSource.CLOSED) return;
      this.lookAtMe();
      setTimeout(() => this.#listen(), 15_000);
    });
  }

  // What another window did to an item that is shown here.
  async #look(id) {
    const row = this.rows.find((row) => row.id === id) ?? (this.open?.id === id ? this.open : null);
    const item = row && (await api.item(id).catch(() => null));
    if (item) Object.assign(row, { read: item._weir.read, starred: item._weir.starred });
  }

  // Another window marked many: what is still unread of the rows that are shown.
  async #lookAtAll() {
    const limit = this.view.order === 'ranked' ? 1000 : this.rows.length + this.fresh;
    if (!this.rows.length || limit > 1000) return;
    const turn = this.#turn;
    const page = await api.items({ ...this.query, state: 'unread', limit, bodies: 0 }).catch(() => null);
    if (!page || turn !== this.#turn) return;
    const unread = new Set(page.items.map((item) => item._weir.id));
    for (const row of this.rows) if (!unread.has(row.id)) row.read = true;
  }

  // ── saying things ──
  say(text) {
    this.toast = text;
    clearTimeout(this.#toastTimer);
    this.#toastTimer = setTimeout(() => (this.toast = ''), 6000);
  }

  // Runs `work`; when it fails, takes back what was shown ahead and says so. True when it worked.
  async try(work, undo) {
    try {
      await work();
      return true;
    } catch (error) {
      undo?.();
      this.say(undo && error.status ? t('error_undone', { message: problem(error) }) : message(error));
      return false;
    }
  }
}

function message(error) {
  return error.status === 0 ? problem(error) : t('error', { message: problem(error) });
}

function json(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

const key = ({ order, state, source, folder, q }) => JSON.stringify([order, state, source, folder, q]);

export const reader = new Reader();
