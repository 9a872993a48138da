// The two languages. t(key, values) gives the text; a component that calls it is drawn again when the language changes.
import en from './en.json';
import zh from './zh.json';

const catalogues = { en, zh };
let tag = $state('en');
let sentences = $state.raw({});   // the server's own, by their key, in the language that is not the server's

// `wanted` is a setting: en, zh, or auto (the browser's own).
export function setLanguage(wanted) {
  const own = (navigator.languages ?? []).find((name) => /^(en|zh)\b/i.test(name)) ?? 'en';
  tag = wanted in catalogues ? wanted : own.slice(0, 2).toLowerCase();
  document.documentElement.lang = tag === 'zh' ? 'zh-Hans' : 'en';
  if (tag === 'zh') import('./says.zh.json').then(({ default: all }) => (sentences = all), () => {});   // until then, and without: a sentence for each code
}

export const language = () => (tag === 'zh' ? 'zh-CN' : 'en');

const fill = (text, values = {}) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

export const t = (key, values) => fill(catalogues[tag][key] ?? en[key] ?? key, values);

// What the server says, in the reader's language: `text` is its English, `names` are its sentences by key and values (Sentence, base/result.h).
export function says(text, ...names) {
  if (tag === 'en' || !names.length || !names.every((name) => name && Object.hasOwn(sentences, name.key))) return text;
  return names.map((name) => fill(sentences[name.key], name.values)).join('；');
}

// What went wrong, in the reader's language: by its own sentence, else by the one of its code (Code, base/result.h), else by the status of the answer.
export function problem(error) {
  if (error.status === 0) return t('error_offline');
  if (tag === 'en') return error.message;
  return says('', error) || zh[`code_${error.code}`] || (error.code === undefined && error.message) || t('error_status', { status: error.status });
}

// A source's last failure: `error` is the whole English line; in another language an address stands before the sentence as it does there.
export function failure(source) {
  const { problem: named } = source;
  if (tag === 'en' || !named) return source.error;
  return (/^https?:/.test(named.where) ? `${named.where}：` : '') + problem(named);
}

export const has = (key) => key in en;
