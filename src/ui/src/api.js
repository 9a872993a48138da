// The one place that talks to the server (docs/api.md). Every call gives parsed JSON or throws an ApiError; a lost session goes to the sign-in page.

export class ApiError extends Error {
  constructor(status, code, message, { key, values } = {}) {
    super(message);
    this.status = status;   // 0: the server did not answer
    this.code = code;
    this.key = key;         // of its sentence, for other languages
    this.values = values;
  }
}

const PATIENCE_MS = 60_000;   // longer than anything takes here: adding a feed waits 15 s for other servers

// Signs in, and comes back to what was on show.
const onSignedOut = () => location.assign(`/login${location.hash}`);

async function call(method, path, body, { signal, keepalive } = {}) {
  const headers = { accept: 'application/json' };
  if (body !== undefined && typeof body !== 'string') {
    headers['content-type'] = 'application/json';
    body = JSON.stringify(body);
  } else if (body !== undefined) {
    headers['content-type'] = 'text/x-opml';
  }
  let response, text;
  try {
    response = await fetch(path, { method, headers, body, signal: signal ?? AbortSignal.timeout(PATIENCE_MS), keepalive });
    text = await response.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'offline', '');
  }
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    throw new ApiError(response.status, 'malformed', text.slice(0, 200));
  }
  if (response.ok) return value;
  if (response.status === 401 && path !== '/api/session') onSignedOut();
  throw new ApiError(response.status, value?.error?.code ?? '', value?.error?.message ?? `HTTP ${response.status}`, value?.error);
}

const query = (fields) => new URLSearchParams(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null && value !== '')).toString();
// A list comes as an array or under its name.
const list = (value, name) => (Array.isArray(value) ? value : value?.[name] ?? []);

export const api = {
  me: () => call('GET', '/api/me'),
  signIn: (proof) => call('POST', '/api/session', proof),
  signOut: () => call('DELETE', '/api/session'),

  changePassword: (change) => call('PUT', '/api/me/password', change),

  settings: () => call('GET', '/api/settings'),
  saveSettings: (settings) => call('PUT', '/api/settings', settings),

  sources: async () => list(await call('GET', '/api/sources'), 'sources'),
  addSource: (source) => call('POST', '/api/sources', source),
  editSource: (id, edit) => call('PATCH', `/api/sources/${id}`, edit),
  removeSource: (id) => call('DELETE', `/api/sources/${id}`),
  refresh: () => call('POST', '/api/refresh'),
  refreshSource: (id) => call('POST', `/api/sources/${id}/refresh`),
  importOpml: (text) => call('POST', '/api/import', text),

  items: (fields, options) => call('GET', `/api/items?${query(fields)}`, undefined, options),
  item: (id, options) => call('GET', `/api/items/${id}`, undefined, options),
  why: (id) => call('GET', `/api/items/${id}/why`),
  mark: (id, patch) => call('PATCH', `/api/items/${id}`, patch),
  markRead: (what) => call('POST', '/api/items/mark-read', what),
  signal: (signal) => call('POST', '/api/signals', signal, { keepalive: true }),

  tokens: async () => list(await call('GET', '/api/tokens'), 'tokens'),
  newToken: (token) => call('POST', '/api/tokens', token),
  removeToken: (id) => call('DELETE', `/api/tokens/${id}`),
  users: async () => list(await call('GET', '/api/users'), 'users'),
  newUser: (user) => call('POST', '/api/users', user),
  userLink: (id) => call('POST', `/api/users/${id}/link`),
  removeUser: (id) => call('DELETE', `/api/users/${id}`),
  doctor: async () => list(await call('GET', '/api/doctor'), 'checks'),

  starter: async () => (await fetch(WEIR_STARTER)).text(),
  hasStarter: Boolean(WEIR_STARTER),
};
