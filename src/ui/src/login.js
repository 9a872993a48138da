// The sign-in page, which works as a plain form too. After it, always the reader itself. (A one-time link has its own page, made by the server.)
import { api } from './api.js';
import { t } from './i18n.svelte.js';
import { useRemembered } from './look.js';

useRemembered();
for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);

const form = document.getElementById('sign-in');
const problem = document.getElementById('problem');
if (location.hash) problem.textContent = t('login_ended');

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  problem.textContent = '';
  try {
    await api.signIn({ user: form.user.value, password: form.password.value });
    location.replace('/' + location.hash);   // back to where the session ended
  } catch (error) {
    if (error.status === 0) problem.textContent = t('error_offline');
    else if (error.status === 429 || error.status === 503) problem.textContent = t('login_wait');
    else problem.textContent = t('login_wrong');
  }
});
