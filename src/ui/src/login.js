// The sign-in page: name and password, or a one-time link whose code stands in the address (as #code or ?link=code). After it, always the reader itself.
import { api } from './api.js';
import { t } from './i18n.svelte.js';
import { useRemembered } from './look.js';

useRemembered();
for (const node of document.querySelectorAll('[data-t]')) node.textContent = t(node.dataset.t);

const form = document.getElementById('sign-in');
const problem = document.getElementById('problem');

async function signIn(proof) {
  try {
    await api.signIn(proof);
    location.replace('/');
  } catch (error) {
    if (error.status === 0) problem.textContent = t('error_offline');
    else if (error.status === 429 || error.status === 503) problem.textContent = t('login_wait');
    else if (proof.link) {
      problem.textContent = `${t('login_link_wrong')} weir user link`;
    } else problem.textContent = t('login_wrong');
  }
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  signIn({ user: form.user.value, password: form.password.value });
});

const link = new URLSearchParams(location.search).get('link') ?? location.hash.replace(/^#(link=)?/, '');
if (link) {
  history.replaceState(null, '', '/login');   // the code does not stay in the address
  problem.textContent = t('login_link');
  signIn({ link });
}
