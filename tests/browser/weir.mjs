// What the browser tests share: a real Weir on a data folder of its own, things to read in it, a Chromium that watches what pages try to do, and a small
// site with feeds. Every page must end with no script error, no violation of the Content-Security-Policy, and no request to anywhere but Weir (images
// of articles apart, which are answered here).
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..');
const cache = process.env.WEIR_CACHE || join(homedir(), '.cache/weir');
const modules = join(cache, 'deps/node_modules');
const binary = process.env.WEIR_BIN || join(root, 'build/weir');
const { chromium } = createRequire(join(modules, 'of.js'))('playwright-core');
const axeSource = readFileSync(join(modules, 'axe-core/axe.min.js'), 'utf8');

// ── Weir ──

// A running Weir: {base, token, post(path, body), get(path), link(), stop()}.
export async function startWeir(t, { data = mkdtempSync(join(tmpdir(), 'weir-browser-')), more = ['--no-model'], env = {} } = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} is not there: scripts/build makes it`);
  const child = spawn(binary, ['--data', data, ...more, 'serve', '--listen', '127.0.0.1:0', '--allow-net', '127.0.0.0/8'], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
  let said = '', log = '';
  child.stderr.on('data', (bytes) => (log += bytes));
  child.stdout.on('data', (bytes) => (said += bytes));
  const stopped = new Promise((done) => child.once('exit', done));
  t.after(async () => {
    child.kill('SIGTERM');
    await stopped;
    rmSync(data, { recursive: true, force: true });
  });
  await until(() => /listening on \S+/.test(said) || child.exitCode !== null, 20_000, () => `Weir does not start: ${log}`);
  assert.equal(child.exitCode, null, `Weir ended: ${log}`);
  const base = said.match(/listening on (\S+)/)[1];

  const run = (...words) => new Promise((done, fail) => {
    const one = spawn(binary, ['--data', data, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '', err = '';
    one.stdout.on('data', (bytes) => (out += bytes));
    one.stderr.on('data', (bytes) => (err += bytes));
    one.once('exit', (code) => (code === 0 ? done(out + err) : fail(new Error(`weir ${words.join(' ')}: ${err}`))));
  });
  const token = (await run('token', 'new', '--scope', 'operator')).match(/weir_\S+/)[0];
  const call = async (method, path, body) => {
    const response = await fetch(base + path, { method, body: body && JSON.stringify(body), headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) } });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  return {
    base, data, run, token,
    get: (path) => call('GET', path),
    post: (path, body) => call('POST', path, body),
    patch: (path, body) => call('PATCH', path, body),
    put: (path, body) => call('PUT', path, body),
    link: async () => (await run('user', 'link')).match(/https?:\S+/)[0],
    log: () => log,
  };
}

// Sources to push to, with items in them, the newest first in `items`. Gives the sources' ids by title.
export async function fill(weir, sources) {
  const ids = {};
  for (const { title, folder, items } of sources) {
    const { id } = await weir.post('/api/sources', { push: true, title });
    if (folder) await weir.patch(`/api/sources/${id}`, { folder });
    const report = await weir.post(`/api/sources/${id}/items`, items.slice().reverse());
    assert.equal(report.stored, items.length);
    ids[title] = id;
  }
  return ids;
}

const TOPICS = ['the river in spring', 'a bridge of larch', 'how locks are repaired', 'salmon above the weir', 'a mill that grinds again', 'the flood of 1921', 'gauges and what they miss'];
const THEMEN = ['春天的河流', '木桥的修建', '鱼类洄游', '水位观测', '老磨坊重新开工'];
const PARAGRAPH = 'The water came over the sill in one sheet this morning, and by noon the lower gate stood open. ';

export function someItems(count, { chinese = false, site = 'notes.example' } = {}) {
  return Array.from({ length: count }, (_, i) => {
    const topic = chinese ? THEMEN[i % THEMEN.length] : TOPICS[i % TOPICS.length];
    const title = chinese ? `${topic}，第 ${count - i} 篇` : `Note ${count - i}: ${topic}`;
    const text = chinese ? `${topic}。今天早晨水流平稳，下午闸门打开。`.repeat(6) : `About ${topic}. ${PARAGRAPH.repeat(5)}`;
    return {
      id: `${site}/${count - i}`, url: `https://${site}/${count - i}`, title, language: chinese ? 'zh' : 'en',
      content_html: `<h2>${topic}</h2><p>${text}</p><ul><li>one</li><li>two</li></ul><blockquote><p>${text}</p></blockquote><p><a href="https://${site}/more">more</a></p>`,
      date_published: new Date(Date.now() - (i + 1) * 600_000).toISOString(), authors: [{ name: chinese ? '林安' : 'Ann Lind' }], tags: ['water'],
    };
  });
}

export const someSources = (count = 20) => [
  { title: 'River Notes', folder: 'Water', items: someItems(count) },
  { title: '水文周刊', folder: 'Water', items: someItems(Math.ceil(count / 2), { chinese: true, site: 'shuiwen.example' }) },
  { title: 'Builds', items: [{ id: 'build-1', title: 'Build 1 is green', content_text: 'All tests passed.\n\nNothing else to say.', url: 'https://builds.example/1' }] },
];

// ── the browser ──

let browser;
export async function startBrowser() {
  browser ??= await chromium.launch({
    executablePath: process.env.WEIR_CHROMIUM || '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  });
  return browser;
}
export const stopBrowser = async () => {
  await browser?.close();
  browser = undefined;
};

// A signed-in page. Its `watch` has {violations, errors, outside}: all must be empty when the test ends, but for what the test itself takes out.
export async function openReader(t, weir, { signIn = true, path = '/', ...options } = {}) {
  const context = await (await startBrowser()).newContext({ viewport: { width: 1280, height: 800 }, locale: 'en-GB', reducedMotion: 'reduce', ...options });
  const watch = { violations: [], errors: [], outside: [], images: [] };
  await context.exposeBinding('__violation', (_, text) => watch.violations.push(text));
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (event) =>
    globalThis.__violation(`${event.violatedDirective} ${event.blockedURI} ${event.sample} at ${event.sourceFile}:${event.lineNumber}`)));
  await context.route((url) => url.origin !== weir.base, (route) => {
    const request = route.request();
    (request.resourceType() === 'image' ? watch.images : watch.outside).push(request.url());
    return route.abort();
  });
  context.on('page', (page) => {
    page.on('pageerror', (error) => watch.errors.push(String(error.stack ?? error)));
    page.on('console', (message) => {
      if (message.type() === 'error' && !/Failed to load resource/.test(message.text())) watch.errors.push(message.text());
    });
    page.on('dialog', (dialog) => {
      watch.errors.push(`a dialog of the page: ${dialog.message()}`);
      dialog.dismiss();
    });
  });
  const page = await context.newPage();
  t.after(async () => {
    await context.close();
    assert.deepEqual(page.watch.errors, [], 'script errors');
    assert.deepEqual(watch.violations, [], 'violations of the Content-Security-Policy');
    assert.deepEqual(watch.outside, [], 'requests to elsewhere');
  });
  if (signIn) {
    await page.goto(await weir.link());
    await page.waitForURL(`${weir.base}/`);
    if (path !== '/') await page.goto(weir.base + path);
    await page.locator('.rows').waitFor();
  }
  page.watch = watch;
  return page;
}

// Rows of the list, and waiting for them.
export const rows = (page) => page.locator('.rows ol > li');
export const selected = (page) => page.locator('.rows li.selected h3 a').evaluate((link) => link.textContent.trim().replace(/^(Unread|未读):\s*/, ''));
export const titles = (page) => page.locator('.rows ol h3 a').evaluateAll((links) => links.map((link) => link.textContent.trim().replace(/^(Unread|未读):\s*/, '')));

// axe finds nothing: every rule it has, best practices too. And nothing is cut off at a pane's edge.
export async function accessible(page, name) {
  await page.evaluate(axeSource);
  const found = await page.evaluate(() => globalThis.axe.run(document));
  assert.deepEqual(found.violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.html.slice(0, 160)).join(' | ')}`), [], `axe on ${name}`);
  assert.ok(found.passes.length > 10, `axe looked at ${name}`);
  const wide = await page.evaluate(() => [...document.querySelectorAll('body, nav, .rows, .list, .article, .settings, dialog[open]')].filter((pane) => pane.scrollWidth > pane.clientWidth + 1).map((pane) => pane.className || pane.localName));
  assert.deepEqual(wide, [], `wider than its pane: ${name}`);
}

// What is no language: addresses, paths, times, amounts, commands with their options, names of programs and of parts of a machine. And where another
// program's own words stand in a sentence of ours, they stand in brackets.
const NAMES = [/https?:\/\/[^\s：（]+/, /(?<![<\w])\/[\w./-]+/, /\d{4}-\d\d-\d\dT[\d:.]+Z/, /\d+(\.\d+)? (MB|kB|s)(?![a-z])/, /（[\w ',.<>-]+）/, /`\w+`/, /<\w+>/,
  /\bweir (serve|sources|doctor|model fetch [\w-]+|restore FILE)/, /--[a-z-]+( CIDR)?/, /WEIR_\w+/, /\b(scalar|avx2(-vnni)?|avx512(-bf16)?|amx|neon)\b/, /\b(chmod \d+|chown -R \$\(id -u\)|mount -o remount,rw|dmesg)/,
  /\b(Weir|OPML|RSS|Atom|feed|JSON Feed|JSON|XML|HTTP|HTTPS|http|https|ca-certificates|seccomp|Landlock|ABI|setrlimit|setitimer|lsm=landlock|systemd-timesyncd|chrony|minilm|e5-small)\b/,
  /\bweir\.opml\b|\breader\b|鹭/];

// Every text and every name of a control is of this language; what is marked as another one, or is code, a key, or a user's own, is not ours.
export async function oneLanguage(page, language, name) {
  const texts = await page.evaluate(() => {
    const out = [], skip = 'noscript, code, kbd, [lang]:not(html), time, .brand, .grid input, .things strong, option[lang]';
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      if ((node.nodeType === 3 ? node.parentElement : node).closest(skip)) continue;
      if (node.nodeType === 3) out.push(node.data);
      else for (const name of ['aria-label', 'title', 'placeholder', 'alt']) if (node.hasAttribute(name)) out.push(node.getAttribute(name));
    }
    return out;
  });
  const other = language === 'zh' ? /[A-Za-z]{2,}/ : /\p{Script=Han}/u;
  const left = texts.filter((text) => other.test(NAMES.reduce((rest, one) => rest.replace(new RegExp(one, 'gu'), ' '), text))).map((text) => text.trim().slice(0, 160));
  assert.deepEqual(left, [], `${name} has texts of another language than ${language}`);
  return texts;
}

export async function until(condition, ms, text = () => 'it did not happen') {
  for (const end = Date.now() + ms; ;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) assert.fail(text());
    await new Promise((done) => setTimeout(done, 25));
  }
}

// ── a small site ──

// {base, hits}: /herons/letters, /page (which links to it), /nothing (a page with no feed), /choice (a page with three feeds, the last of them gone).
export async function startSite(t) {
  const hits = [];
  const server = createServer((request, response) => {
    hits.push(request.url);
    const answer = (type, text, status = 200) => response.writeHead(status, { 'content-type': type }).end(text);
    if (request.url === '/herons/letters')
      return answer('application/rss+xml', `<?xml version="1.0"?><rss version="2.0"><channel><title>Heron Letters</title><link>http://${request.headers.host}/page</link><description>d</description>${
        [3, 2, 1].map((n) => `<item><guid>letter-${n}</guid><title>Letter ${n}</title><link>http://${request.headers.host}/${n}</link><description>&lt;p&gt;The heron stood still, day ${n}.&lt;/p&gt;</description></item>`).join('')
      }</channel></rss>`);
    if (request.url === '/page') return answer('text/html', '<!doctype html><title>Herons</title><link rel="alternate" type="application/rss+xml" href="/herons/letters"><p>Herons.');
    if (request.url === '/herons/notes')
      return answer('application/feed+json', JSON.stringify({ version: 'https://jsonfeed.org/version/1.1', title: 'Heron Notes', items: [{ id: '1', title: 'A note', content_text: 'One heron.' }] }));
    if (request.url === '/choice')
      return answer('text/html', `<!doctype html><title>Herons</title>${[['/herons/letters', 'Letters', 'rss+xml'], ['/herons/notes', 'Notes', 'feed+json'], ['/herons/gone', 'Gone', 'atom+xml']]
        .map(([href, title, type]) => `<link rel="alternate" type="application/${type}" href="${href}" title="${title}">`).join('')}<p>Herons.`);
    if (request.url === '/nothing') return answer('text/html', '<!doctype html><title>Nothing</title><p>No feed here.');
    return answer('text/plain', 'no', 404);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  t.after(() => new Promise((done) => {
    server.closeAllConnections();
    server.close(done);
  }));
  return { base: `http://127.0.0.1:${server.address().port}`, hits };
}
