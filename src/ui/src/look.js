// Language and theme, kept in the browser too, so that a page stands right before the server has answered.
import { setLanguage } from './i18n.svelte.js';

export function remember(look) {
  try {
    localStorage.setItem('look', JSON.stringify(look));
  } catch { /* no storage: the default look for a moment */ }
}

export function useRemembered() {
  let look = {};
  try {
    look = JSON.parse(localStorage.getItem('look')) ?? {};
  } catch { /* not ours: the default */ }
  document.documentElement.dataset.theme = look.theme ?? 'auto';
  setLanguage(look.language ?? 'auto');
}
