// Keeps the shell (page, script, style: nothing of the reader's) so that Weir opens when the network does not. What is not the shell is left to the
// browser: no answer of the API is ever kept.
const VERSION = 'weir-{{version}}';
const SHELL = {{shell}};

self.addEventListener('install', (event) => {
  event.waitUntil(caches.open(VERSION).then((cache) => cache.addAll(SHELL)).then(() => self.skipWaiting()));
});

self.addEventListener('activate', (event) => {
  event.waitUntil(caches.keys()
    .then((names) => Promise.all(names.filter((name) => name !== VERSION).map((name) => caches.delete(name))))
    .then(() => self.clients.claim()));
});

self.addEventListener('fetch', (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== 'GET' || url.origin !== self.location.origin) return;
  if (event.request.mode === 'navigate' && url.pathname === '/')
    event.respondWith(fetch(event.request).catch(() => caches.match('/')));
  else if (SHELL.includes(url.pathname))
    event.respondWith(caches.match(url.pathname).then((kept) => kept ?? fetch(event.request)));
});
