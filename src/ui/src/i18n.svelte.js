// The two languages. t(key, values) gives the text; a component that calls it is drawn again when the language changes.
import en from './en.json';
import zh from './zh.json';

const catalogues = { en, zh };
let tag = $state('en');

// `wanted` is a setting: en, zh, or auto (the browser's own).
export function setLanguage(wanted) {
  const own = (navigator.languages ?? []).find((name) => /^(en|zh)\b/i.test(name)) ?? 'en';
  tag = wanted in catalogues ? wanted : own.slice(0, 2).toLowerCase();
  document.documentElement.lang = tag === 'zh' ? 'zh-Hans' : 'en';
}

export const language = () => (tag === 'zh' ? 'zh-CN' : 'en');

export function t(key, values = {}) {
  const text = catalogues[tag][key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);
}

// What went wrong, in the reader's language. The server's own sentence is English; for others the catalogue has one for each of its codes (Code, base/result.h).
export function problem(error) {
  if (error.status === 0) return t('error_offline');
  return catalogues[tag][`code_${error.code}`] ?? error.message;
}

export const has = (key) => key in en;
