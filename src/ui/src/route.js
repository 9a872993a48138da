// What is shown, as the address's fragment: #/all, #/source/3, #/folder/Tech, #/settings, with ?order= state= q= item=. Pure; no DOM.

export const ORDERS = ['newest', 'oldest', 'ranked', 'relevance'];
export const STATES = ['unread', 'all', 'starred'];

export function parse(fragment, defaults = { order: 'newest', state: 'unread' }) {
  const [path, search = ''] = fragment.replace(/^#?\/?/, '').split('?');
  const [kind, ...rest] = path.split('/');
  const fields = new URLSearchParams(search);
  const pick = (name, allowed) => (allowed.includes(fields.get(name)) ? fields.get(name) : defaults[name]);
  const view = { page: 'list', source: 0, folder: '', order: pick('order', ORDERS), state: pick('state', STATES), q: fields.get('q') ?? '', item: Number(fields.get('item')) || 0 };
  if (kind === 'settings') view.page = 'settings';
  if (kind === 'source') view.source = Number(rest[0]) || 0;
  if (kind === 'folder') view.folder = decode(rest.join('/'));
  return view;
}

export function print(view) {
  if (view.page === 'settings') return '#/settings';
  const path = view.source ? `source/${view.source}` : view.folder ? `folder/${encodeURIComponent(view.folder)}` : 'all';
  const fields = new URLSearchParams({ order: view.order, state: view.state });
  if (view.q) fields.set('q', view.q);
  if (view.item) fields.set('item', view.item);
  return `#/${path}?${fields}`;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
