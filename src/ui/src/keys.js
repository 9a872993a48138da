// The keyboard: which key means which action. One table, which the help dialog and the settings page show and a reader may change.
// A binding is a key as KeyboardEvent.key names it, or two with a space between: the second within a second of the first.

export const ACTIONS = [
  { name: 'next', keys: ['j'], group: 'list' },
  { name: 'previous', keys: ['k'], group: 'list' },
  { name: 'focusNext', keys: ['n'], group: 'list' },
  { name: 'focusPrevious', keys: ['p'], group: 'list' },
  { name: 'open', keys: ['o', 'Enter'], group: 'list' },
  { name: 'page', keys: [' '], group: 'list' },
  { name: 'search', keys: ['/'], group: 'list' },
  { name: 'markAll', keys: ['A'], group: 'list' },
  { name: 'refresh', keys: ['r'], group: 'list' },
  { name: 'read', keys: ['m'], group: 'item' },
  { name: 'star', keys: ['s', 'f'], group: 'item' },
  { name: 'original', keys: ['v'], group: 'item' },
  { name: 'why', keys: ['w'], group: 'item' },
  { name: 'like', keys: ['+'], group: 'item' },
  { name: 'dislike', keys: ['-'], group: 'item' },
  { name: 'nextSource', keys: ['J'], group: 'go' },
  { name: 'previousSource', keys: ['K'], group: 'go' },
  { name: 'goUnread', keys: ['g u'], group: 'go' },
  { name: 'goAll', keys: ['g a'], group: 'go' },
  { name: 'goForYou', keys: ['g y'], group: 'go' },
  { name: 'goStarred', keys: ['g b'], group: 'go' },
  { name: 'goSources', keys: ['g f'], group: 'go' },
  { name: 'goSettings', keys: ['g s'], group: 'go' },
  { name: 'add', keys: ['a'], group: 'go' },
  { name: 'sidebar', keys: ['F'], group: 'go' },
  { name: 'back', keys: ['Escape', 'u'], group: 'go' },
  { name: 'help', keys: ['?'], group: 'go' },
];
export const GROUPS = ['list', 'item', 'go'];
const WITHIN_MS = 1000;

// `changed` is {action: "key, key"} from the settings; an action that it names loses its own keys.
export function bindings(changed = {}) {
  return ACTIONS.map((action) => ({
    ...action,
    keys: typeof changed[action.name] === 'string' ? parse(changed[action.name]) : action.keys,
  }));
}

// The first key of an action, as it is shown; '' when it has none.
export const keyOf = (changed, name) => print(bindings(changed).find((action) => action.name === name).keys.slice(0, 1));

export function parse(text) {
  return text.split(',').map((key) => key.trim().replace(/^Space$/i, ' ')).filter(Boolean);
}

export function print(keys) {
  return keys.map((key) => (key === ' ' ? 'Space' : key)).join(', ');
}

// Keys that mean two things at once: [[key, action, action]…].
export function conflicts(table) {
  const seen = new Map(), twice = [];
  for (const { name, keys } of table)
    for (const key of keys) {
      if (seen.has(key)) twice.push([key, seen.get(key), name]);
      seen.set(key, name);
    }
  return twice;
}

// Turns key events into action names. `now` is the event's time in ms.
export function reader(table) {
  const single = new Map(), double = new Map();
  for (const { name, keys } of table)
    for (const key of keys) (key.length > 1 && key.includes(' ') ? double : single).set(key, name);
  const starts = new Set([...double.keys()].map((key) => key.split(' ')[0]));
  let first = '', at = -Infinity;

  return (key, now) => {
    const pair = now - at < WITHIN_MS ? double.get(`${first} ${key}`) : undefined;
    first = '';
    if (pair) return pair;
    if (starts.has(key)) [first, at] = [key, now];
    return single.get(key) ?? null;
  };
}

// Whether a key press is the page's to use: not while typing, not with a modifier, not the control's own key.
export function ours(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return false;
  const target = event.target;
  if (target.closest?.('dialog:not([open])')) return true;   // just closed: the browser has not moved the focus yet
  if (target.closest?.('input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]')) return event.key === 'Escape';
  if (event.key === 'Enter' || event.key === ' ') return !target.closest?.(event.key === ' ' ? 'button, summary, input' : 'button, summary, a, input');
  return true;
}
