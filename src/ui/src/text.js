// Small pure text helpers: times, reading minutes, excerpts. No DOM.

const UNITS = [['year', 365 * 86400], ['month', 30 * 86400], ['week', 7 * 86400], ['day', 86400], ['hour', 3600], ['minute', 60]];
const formats = new Map();

function format(kind, language, options) {
  const key = kind + language;
  if (!formats.has(key))
    formats.set(key, kind === 'relative' ? new Intl.RelativeTimeFormat(language, options) : new Intl.DateTimeFormat(language, options));
  return formats.get(key);
}

// "5 min. ago". What is less than a minute away, or in the future (a source's clock), is now. `now` in ms.
export function relative(time, now, language) {
  const then = Date.parse(time);
  if (Number.isNaN(then)) return '';
  const seconds = (now - then) / 1000;
  const [unit, length] = UNITS.find(([, size]) => seconds >= size) ?? ['second', Infinity];
  return format('relative', language, { numeric: 'auto', style: 'narrow' }).format(unit === 'second' ? 0 : -Math.floor(seconds / length), unit);
}

export function absolute(time, language) {
  const then = Date.parse(time);
  return Number.isNaN(then) ? '' : format('absolute', language, { dateStyle: 'full', timeStyle: 'short' }).format(then);
}

// Minutes to read: 230 words or 400 Chinese, Japanese or Korean characters a minute; at least 1, 0 for nothing.
export function minutes(text) {
  if (!text) return 0;
  const wide = text.match(/[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]/g)?.length ?? 0;
  const words = text.match(/[^\s\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+/g)?.length ?? 0;
  return Math.max(1, Math.round(words / 230 + wide / 400));
}

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

// About the text of HTML, for a row's excerpt and its minutes: shown as text, so nothing depends on it being right. Linear: each piece is passed once.
export function plain(html) {
  let out = '';
  for (let at = 0; html && at < html.length;) {
    const open = html.indexOf('<', at);
    out += html.slice(at, open < 0 ? undefined : open) + ' ';
    if (open < 0) break;
    const hidden = /^<(script|style)\b/i.exec(html.slice(open, open + 9))?.[1].toLowerCase();
    const comment = html.startsWith('<!--', open);
    const end = html.indexOf(comment ? '-->' : hidden ? `</${hidden}` : '>', open + 1);
    if (end < 0) break;
    at = comment ? end + 3 : hidden ? end : tagEnd(html, open);
  }
  return out.replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,4}));/gi, (all, decimal, hex, name) => {
    if (name) return ENTITIES[name.toLowerCase()] ?? all;
    const code = parseInt(decimal ?? hex, decimal ? 10 : 16);
    return code > 31 && code < 0x110000 && !(code >= 0xd800 && code < 0xe000) ? String.fromCodePoint(code) : all;
  });
}

// Past the tag that opens at `open`: a > inside quotes does not end it, within reason.
function tagEnd(html, open) {
  const tag = /^<(?:[^>"']|"[^"]*"|'[^']*')*>/.exec(html.slice(open, open + 2000));
  return tag ? open + tag[0].length : html.indexOf('>', open) + 1;
}

// The first `length` characters as one line, without cutting a character in two.
export function excerpt(text, length = 160) {
  const line = (text ?? '').slice(0, length * 4).replace(/\s+/g, ' ').trim();
  const characters = Array.from(line);
  return characters.length > length ? characters.slice(0, length).join('') + '…' : line;
}

// http(s) only: what a link or a window may go to. Anything else is ''.
export function webAddress(address) {
  try {
    const url = new URL(address);
    return url.protocol === 'http:' || url.protocol === 'https:' ? url.href : '';
  } catch {
    return '';
  }
}

// A language tag, when it is one (BCP 47's shape).
export function languageTag(text) {
  return /^[a-z]{2,3}(-[a-z\d]{2,8})*$/i.test(text ?? '') ? text : undefined;
}

export function host(address) {
  try {
    return new URL(address).host.replace(/^www\./, '');
  } catch {
    return '';
  }
}
