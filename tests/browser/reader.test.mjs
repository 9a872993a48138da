// The web reader in Chromium against a real Weir: everything that issue 3 promises of it, by keyboard and by pointer.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DISLIKED, LIKED, OPENED, SOURCES } from './picture.mjs';
import { accessible, fill, openReader, root, rows, selected, someItems, someSources, startSite, startWeir, stopBrowser, titles, until } from './weir.mjs';

after(stopBrowser);

const press = async (page, ...keys) => {
  for (const key of keys) await page.keyboard.press(key);
};
const heading = (page) => page.locator('.article h2');
const toast = (page, text) => page.locator('.toast.shown', { hasText: text }).waitFor();
const unreadShown = (page) => page.locator('.places a').first().locator('.count').innerText();

test('sign in by a one-time link and by password; wrong is said; signing out ends it', async (t) => {
  const weir = await startWeir(t);
  await weir.post('/api/users', { name: 'ann', password: 'heron on the sill' });
  const page = await openReader(t, weir, { signIn: false });

  await page.goto(weir.base);
  await page.waitForURL('**/login');
  await accessible(page, 'the sign-in page');
  await page.getByLabel('Name').fill('ann');
  await page.getByLabel('Password').fill('wrong');
  await press(page, 'Enter');
  await page.getByRole('alert').filter({ hasText: 'Name or password is wrong.' }).waitFor();
  await page.getByLabel('Password').fill('heron on the sill');
  await press(page, 'Enter');
  await page.waitForURL(`${weir.base}/`);
  await page.locator('.rows').waitFor();

  await press(page, 'g', 's');
  await page.getByText('Signed in as ann').waitFor();
  const cookies = await page.context().cookies();
  assert.ok(cookies.length && cookies.every((cookie) => cookie.httpOnly && ['Lax', 'Strict'].includes(cookie.sameSite)));
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL('**/login');
  const dead = await fetch(`${weir.base}/api/me`, { headers: { cookie: cookies.map((one) => `${one.name}=${one.value}`).join('; ') } });
  assert.equal(dead.status, 401, 'the session lives on');

  const link = await weir.link();
  await page.goto(link);
  await page.waitForURL(`${weir.base}/`);
  await page.locator('.rows').waitFor();
  await page.context().clearCookies();
  await page.goto(link);
  await page.getByRole('alert').waitFor();   // used once, and no more
  assert.notEqual(new URL(page.url()).pathname, '/');
});

test('the sign-in form works without a script', async (t) => {
  const weir = await startWeir(t);
  await weir.post('/api/users', { name: 'ann', password: 'heron on the sill' });
  const page = await openReader(t, weir, { signIn: false, javaScriptEnabled: false });
  await page.goto(`${weir.base}/login`);
  await page.locator('#user').fill('ann');
  await page.locator('#password').fill('heron on the sill');
  await page.locator('button').click();
  await page.waitForURL(`${weir.base}/`);
  assert.ok((await page.context().cookies()).length);
});

test('an empty Weir: starter list, a feed by a page\'s address, an address without a feed', async (t) => {
  const weir = await startWeir(t);
  const site = await startSite(t);
  const page = await openReader(t, weir);
  await page.getByRole('heading', { name: 'Weir is empty' }).waitFor();
  await accessible(page, 'an empty Weir');

  await press(page, 'a');
  await page.getByRole('dialog').waitFor();
  await accessible(page, 'the dialog to add');
  await page.getByLabel('Address of a feed').fill(`${site.base}/nothing`);
  await press(page, 'Enter');
  await page.locator('#add-problem', { hasText: /\S/ }).waitFor();
  await page.getByLabel('Address of a feed').fill(`${site.base}/page`);
  await page.getByLabel('Folder').fill('Birds');
  await press(page, 'Enter');
  await toast(page, 'Heron Letters');
  await until(async () => (await rows(page).count()) === 3, 5000);
  assert.deepEqual((await titles(page)).sort(), ['Letter 1', 'Letter 2', 'Letter 3']);
  await page.getByRole('navigation').getByRole('link', { name: /Birds/ }).waitFor();
  await rows(page).first().getByRole('link').click();
  await page.locator('.body', { hasText: 'The heron stood still' }).waitFor();

  // The starter list is offered where there is nothing.
  await press(page, 'Escape');
  const [source] = (await weir.get('/api/sources')).sources;
  await page.getByRole('button', { name: 'Edit source' }).click();
  await page.getByRole('button', { name: 'Unsubscribe' }).click();
  await page.getByRole('button', { name: 'Press again' }).click();
  await page.getByRole('heading', { name: 'Weir is empty' }).waitFor();
  assert.ok(source.id);
  await page.getByRole('button', { name: 'Add the starter list' }).click();
  await until(async () => (await weir.get('/api/sources')).sources.length >= 30, 10_000);
  await toast(page, 'Imported');
  assert.ok((await page.locator('.folder').count()) >= 2, 'folders at the left');
});

test('reading by keys only', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(60));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  const first = await titles(page);
  const all = await unreadShown(page);

  await press(page, 'j');
  assert.equal(await heading(page).innerText(), first[0]);
  assert.equal(await page.evaluate(() => document.activeElement.closest('li')?.classList.contains('selected')), true, 'the focus is on the row');
  await press(page, 'j');
  assert.equal(await heading(page).innerText(), first[1]);
  await press(page, 'k');
  assert.equal(await heading(page).innerText(), first[0]);
  await press(page, 'n');
  assert.equal(await selected(page), first[1]);
  assert.equal(await heading(page).innerText(), first[0], 'n does not open');
  await press(page, 'o');
  assert.equal(await heading(page).innerText(), first[1]);
  assert.equal(Number(await unreadShown(page)), Number(all) - 2);

  await press(page, 'm');   // unread again, the focus stays
  assert.equal(Number(await unreadShown(page)), Number(all) - 1);
  assert.equal(await page.evaluate(() => document.activeElement.id), await page.locator('.rows li.selected h3 a').getAttribute('id'));
  await press(page, 'm', 's');
  await until(async () => (await weir.get('/api/items?state=starred')).items.length === 1, 15000);
  await press(page, 'f');
  await until(async () => (await weir.get('/api/items?state=starred')).items.length === 0, 15000);
  await press(page, 's');

  const [original] = await Promise.all([page.waitForEvent('popup'), press(page, 'v')]);
  assert.equal(await original.evaluate(() => window.opener).catch(() => null), null);
  await until(() => page.watch.outside.length, 15000);
  assert.match(page.watch.outside.pop(), /^https:\/\/(notes|shuiwen)\.example\//);
  page.watch.outside.length = 0;
  await original.close();

  await press(page, 'Escape');
  assert.equal(await page.locator('.article h2').count(), 0);
  await press(page, 'Enter');
  await heading(page).waitFor();

  // To the end of the page, and j goes on to the next one.
  for (let i = 0; i < 41; i++) {
    await press(page, 'n');
    await page.waitForTimeout(5);
  }
  await until(async () => (await rows(page).count()) > 40, 5000);
  assert.equal(new Set(await titles(page)).size, await rows(page).count(), 'no row twice');

  await press(page, '?');
  const help = page.getByRole('dialog', { name: 'Keys' });
  await help.waitFor();
  for (const key of 'jkovmsA/?w+-') await help.locator('kbd').getByText(key, { exact: true }).first().waitFor();
  await accessible(page, 'the help');
  await press(page, 'Escape');
  await help.waitFor({ state: 'detached' });

  await press(page, 'g', 'b');
  await page.getByRole('heading', { name: 'Starred', level: 2 }).waitFor();
  await until(async () => (await rows(page).count()) === 1, 15000);
  await press(page, 'g', 'a');
  await page.getByRole('heading', { name: 'All items', level: 2 }).waitFor();
  await press(page, 'J');
  const at = await page.locator('.list h2').innerText();
  await press(page, 'J');
  await until(async () => (await page.locator('.list h2').innerText()) !== at, 15000);
  await press(page, 'K');
  await until(async () => (await page.locator('.list h2').innerText()) === at, 15000);
  await press(page, 'g', 'f');
  assert.equal(await page.evaluate(() => document.activeElement.closest('nav') !== null), true);
});

test('space pages through an article, then goes on', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, [{ title: 'Long', items: someItems(2).map((item) => ({ ...item, content_html: item.content_html.repeat(8) })) }]);
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  await press(page, 'j');
  const first = await heading(page).innerText();
  const top = () => page.locator('section.article').evaluate((pane) => pane.scrollTop);
  await press(page, ' ');
  await until(async () => (await top()) > 200, 2000);
  for (let i = 0; i < 30 && (await heading(page).innerText()) === first; i++) await press(page, ' ');
  assert.notEqual(await heading(page).innerText(), first);
  assert.equal(await top(), 0);
});

test('mark all: what arrived, in this source only; what comes later stays unread', async (t) => {
  const weir = await startWeir(t);
  const ids = await fill(weir, someSources(10));
  const page = await openReader(t, weir, { path: `/#/source/${ids['River Notes']}` });
  await until(async () => (await rows(page).count()) === 10, 15000);
  await press(page, 'A');
  await page.getByRole('dialog', { name: 'Mark all read?' }).waitFor();
  await accessible(page, 'the dialog to mark all');
  await press(page, 'Enter');
  await toast(page, 'Marked as read: 10');
  assert.equal(await page.locator('.rows li.unread').count(), 0);
  assert.equal(await rows(page).count(), 10, 'rows stay where they are');
  const { items } = await weir.get('/api/items?state=unread&limit=100');
  assert.ok(items.length === 6 && items.every((item) => item._weir.source !== ids['River Notes']));
  await weir.post(`/api/sources/${ids['River Notes']}/items`, [{ id: 'late', title: 'A late one' }]);
  await page.getByRole('button', { name: '1 new: show' }).waitFor();
  assert.equal(await rows(page).count(), 10, 'nothing moves by itself');
  await page.getByRole('button', { name: '1 new: show' }).click();
  await until(async () => (await titles(page)).includes('A late one'), 15000);
});

test('a refused change is taken back and said', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(5));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  await press(page, 'n');
  await page.route('**/api/items/**', (route) => (route.request().method() === 'GET' ? route.continue() : route.fulfill({ status: 503, contentType: 'application/json', body: '{"error":{"code":"unavailable","message":"the disk is full"}}' })));
  const star = page.locator('.rows li.selected').getByRole('button', { name: 'Star' });
  await press(page, 's');
  await toast(page, 'the disk is full');
  assert.equal(await star.getAttribute('aria-pressed'), 'false');
  const before = await unreadShown(page);
  await page.unroute('**/api/items/**');
  await page.route('**/api/items/mark-read', (route) => route.abort());
  await press(page, 'A');
  await press(page, 'Enter');
  await toast(page, 'Weir does not answer');
  assert.equal(await unreadShown(page), before);
  await page.unroute('**/api/items/mark-read');
  await press(page, 's');
  await until(async () => (await star.getAttribute('aria-pressed')) === 'true', 2000);
});

test('search: words, Chinese, nothing; best match', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(14));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  const search = async (text) => {
    await press(page, '/');
    await page.locator('#search').fill(text);
    await press(page, 'Enter');
    await page.getByRole('heading', { name: `Search: ${text}` }).waitFor();
  };
  await search('salmon');
  await until(async () => (await rows(page).count()) === 2, 5000);
  for (const title of await titles(page)) assert.match(title, /salmon/);
  await page.getByLabel('Order').selectOption('relevance');
  await until(async () => (await rows(page).count()) === 2, 5000);
  await accessible(page, 'search');
  await search('鱼类');
  await until(async () => (await titles(page)).some((title) => title.includes('鱼类洄游')), 5000);
  await search('zyzzyva');
  await page.getByText('Nothing found.').waitFor();
  await press(page, 'Escape');
  await until(async () => (await rows(page).count()) > 10, 5000);
});

test('for you: why on every row, like and dislike, and what Weir does not know', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(12));
  const page = await openReader(t, weir);
  await press(page, 'g', 'y');
  await page.getByRole('heading', { name: 'For you', level: 2 }).waitFor();
  await rows(page).first().waitFor();
  await page.getByText('Weir does not know enough about you yet: 0 of 10 signals.').first().waitFor();
  assert.equal(await page.locator('.rows .why').count(), await rows(page).count());

  await press(page, 'n', 'w');
  const why = page.locator('.rows li.selected .why');
  await why.locator('meter').first().waitFor();
  const listed = page.waitForResponse((answer) => answer.url().includes('/api/items?'));
  await press(page, 'r');   // the list comes anew: what is open stays open
  await listed;
  await page.waitForTimeout(300);
  assert.ok(await why.locator('meter').first().isVisible(), 'why stays open');
  const numbers = (await why.locator(':scope li > .value').allInnerTexts()).map((text) => Number(text.replace('−', '-')));
  const sum = Number((await why.getByText(/^Score/).innerText()).match(/[+−]?\d+\.\d+/)[0].replace('−', '-'));
  assert.ok(numbers.length && Math.abs(numbers.reduce((a, b) => a + b, 0) - sum) < 0.006 * (numbers.length + 1), `${numbers} is not ${sum}`);
  await accessible(page, 'for you with why');

  await press(page, '+');
  await toast(page, 'more like this');
  await press(page, 'n', '-');
  await toast(page, 'less like this');
  await until(async () => (await weir.get('/api/me')).taste.signals >= 2, 15000);
  for (let i = 0; i < 10; i++) await press(page, 'n', '+');
  await until(async () => (await weir.get('/api/me')).taste.enough, 5000);
  await page.locator('#not-enough').waitFor({ state: 'detached' });
});

test('an article that was read a while is a signal with its dwell time', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(3));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  const sent = [];
  page.on('request', (request) => request.url().endsWith('/api/signals') && sent.push(request.postDataJSON()));
  await press(page, 'j');
  await page.waitForTimeout(1300);
  await press(page, 'j', 'j', 'j');   // passed over: no signals
  await until(() => sent.length, 15000);
  await page.waitForTimeout(300);
  assert.equal(sent.length, 1);
  assert.equal(sent[0].kind, 'open');
  assert.ok(sent[0].dwell_s >= 1 && sent[0].dwell_s < 10 && sent[0].id && Number.isInteger(sent[0].item));
});

test('settings: kept, shown at once, in both languages; keys of one\'s own', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(4));
  const page = await openReader(t, weir);
  await press(page, 'g', 's');
  await page.getByRole('heading', { name: 'Settings', level: 2 }).waitFor();
  await accessible(page, 'the settings');
  await page.getByLabel('Unread counts').selectOption('dot');
  await page.locator('nav .dot').first().waitFor();
  await page.getByLabel('Keep items for days').fill('30');
  await press(page, 'Tab');
  await page.getByLabel('Next item').fill('x');
  await press(page, 'Tab');
  await page.getByLabel('Order').selectOption('oldest');
  await page.getByLabel('Theme').selectOption('dark');
  await page.getByLabel('Language').selectOption('zh');
  await page.getByRole('heading', { name: '设置', level: 2 }).waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.lang), 'zh-Hans');
  await accessible(page, 'the settings, dark, in Chinese');
  await until(async () => {
    const kept = await weir.get('/api/settings');
    return kept.keep_days === 30 && kept.counts === 'dot' && kept.language === 'zh' && kept.order === 'oldest' && kept.theme === 'dark' && kept.keys.next === 'x';
  }, 15000);

  await page.goto(weir.base);
  await page.reload();
  await rows(page).first().waitFor();
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), 'dark');
  await page.locator('nav').getByRole('link', { name: /未读/ }).first().waitFor();
  assert.match((await titles(page))[0], /Note 1|第 1 篇|Build/);
  await press(page, 'j');
  assert.equal(await page.locator('.article h2').count(), 0, 'j is not its key any more');
  await press(page, 'x');
  await heading(page).waitFor();
  await accessible(page, 'the reader, dark, in Chinese');
});

test('the password: the old one is asked for, every other place is signed out; both languages', async (t) => {
  const weir = await startWeir(t);
  await weir.post('/api/users', { name: 'ann', password: 'heron on the sill' });
  const signedIn = async () => {
    const page = await openReader(t, weir, { signIn: false });
    await page.goto(`${weir.base}/login`);
    await page.getByLabel('Name').fill('ann');
    await page.getByLabel('Password').fill('heron on the sill');
    await press(page, 'Enter');
    await page.waitForURL(`${weir.base}/`);
    await page.locator('.rows').waitFor();
    return page;
  };
  const page = await signedIn(), elsewhere = await signedIn();
  await press(page, 'g', 's');
  const form = page.getByRole('region', { name: 'Password' });
  await form.getByLabel('Current password').fill('not this one');
  await form.getByLabel('New password').fill('a kingfisher now');
  await press(page, 'Enter');
  await toast(page, 'the current password is wrong');
  await form.getByLabel('Current password').fill('heron on the sill');
  await press(page, 'Enter');
  await form.getByText('Everywhere else you are signed out').waitFor();
  await accessible(page, 'the settings, password changed');
  assert.equal(await elsewhere.evaluate(async () => (await fetch('/api/me')).status), 401, 'the other session lives on');
  await page.reload();
  await page.getByText('Signed in as ann').waitFor();
  const signIn = async (password) => (await fetch(`${weir.base}/api/session`, { method: 'POST', body: JSON.stringify({ user: 'ann', password }) })).status;
  assert.equal(await signIn('heron on the sill'), 401);
  assert.equal(await signIn('a kingfisher now'), 200);

  // Who came by a link has none yet: nothing old to ask for.
  const first = await openReader(t, weir);
  await weir.put('/api/settings', { language: 'zh' });
  await first.reload();
  await first.locator('.rows').waitFor();
  await press(first, 'g', 's');
  const chinese = first.getByRole('region', { name: '密码' });
  assert.equal(await chinese.getByLabel('当前密码').count(), 0);
  await chinese.getByLabel('新密码').fill('翠鸟停在水坝上');
  await press(first, 'Enter');
  await chinese.getByText('密码已更改').waitFor();
  await chinese.getByLabel('当前密码').waitFor();
  await accessible(first, 'the settings in Chinese, password set');
});

test('how far the encoder is stands in the settings, without events too', async (t) => {
  const weir = await startWeir(t, { more: [], env: { WEIR_MODELS: '/nowhere' } });   // a model that is not there: what waits goes on waiting
  const ids = await fill(weir, someSources(4));
  const page = await openReader(t, weir, { signIn: false });
  await page.route('**/events', (route) => route.abort());
  await page.goto(await weir.link());
  await page.waitForURL(`${weir.base}/`);
  await rows(page).first().waitFor();
  await press(page, 'g', 's');
  await page.getByText('0 of 7 items understood').waitFor();
  await accessible(page, 'the settings, encoding');
  await weir.post(`/api/sources/${ids.Builds}/items`, [{ id: 'build-2', title: 'Build 2 is red' }]);
  await page.getByText('0 of 8 items understood').waitFor();
  await page.getByText('weir model fetch e5-small').first().waitFor();
});

test('tokens and users', async (t) => {
  const weir = await startWeir(t);
  const ids = await fill(weir, someSources(3));
  const page = await openReader(t, weir);
  await press(page, 'g', 's');
  const tokens = page.getByRole('region', { name: 'Tokens' });
  await tokens.getByLabel('Name').fill('phone');
  await tokens.getByRole('button', { name: 'Create token' }).click();
  const text = await tokens.locator('.secret').innerText();
  const asks = (path, method = 'GET') => fetch(weir.base + path, { method, headers: { authorization: `Bearer ${text}` } }).then((answer) => answer.status);
  assert.equal(await asks('/api/items'), 200);
  assert.equal(await asks('/api/refresh', 'POST'), 403, 'read means read');
  await tokens.getByRole('button', { name: 'Revoke: phone' }).click();
  await until(async () => (await asks('/api/items')) === 401, 15000);

  await tokens.getByLabel('Name').fill('ci');
  await tokens.getByLabel('May').selectOption('ingest');
  await tokens.getByLabel('Source').selectOption({ label: 'Builds' });
  await tokens.getByRole('button', { name: 'Create token' }).click();
  await until(async () => (await tokens.locator('.secret').innerText()) !== text, 15000);
  const pushed = await fetch(`${weir.base}/api/sources/${ids.Builds}/items`, { method: 'POST', headers: { authorization: `Bearer ${await tokens.locator('.secret').innerText()}` }, body: '[{"id":"b2","title":"Build 2"}]' });
  assert.equal(pushed.status, 200);

  const users = page.getByRole('region', { name: 'Users' });
  await users.getByLabel('Name').fill('bo');
  await users.getByRole('button', { name: 'Add user' }).click();
  assert.match(await users.locator('.secret').innerText(), /^http.*\/login\?link=/);
  await until(async () => (await weir.get('/api/users')).users.some((user) => user.name === 'bo'), 15000);
  await users.getByRole('button', { name: 'Remove: bo' }).dblclick();   // a double click is no second thought
  await users.getByRole('button', { name: 'Press again to remove: bo' }).click();
  await until(async () => !(await weir.get('/api/users')).users.some((user) => user.name === 'bo'), 15000);
});

test('OPML out and in again', async (t) => {
  const weir = await startWeir(t), other = await startWeir(t);
  const site = await startSite(t);
  const made = await weir.post('/api/sources', { url: `${site.base}/herons/letters`, folder: 'Birds' });
  const page = await openReader(t, weir);
  await press(page, 'g', 's');
  const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('link', { name: 'Export OPML' }).click()]);
  assert.equal(download.suggestedFilename(), 'weir.opml');
  const opml = readFileSync(await download.path(), 'utf8');
  assert.ok(opml.includes(`${site.base}/herons/letters`) && opml.includes('Birds'), opml);

  const there = await openReader(t, other);
  const file = join(mkdtempSync(join(tmpdir(), 'weir-opml-')), 'mine.opml');
  writeFileSync(file, opml);
  await there.getByLabel('Import OPML').setInputFiles(file);
  await toast(there, 'Imported: 1 new');
  await there.getByRole('navigation').getByRole('link', { name: /Birds/ }).waitFor();
  writeFileSync(file, 'this is no OPML');
  await press(there, 'a');
  await there.getByLabel('Import OPML').setInputFiles(file);
  await there.getByRole('dialog').getByText(/That did not work/).waitFor();
  assert.equal((await other.get('/api/sources')).sources.length, 1);
  assert.ok(made.id);
});

test('edit a source: name, folder, how long items stay', async (t) => {
  const weir = await startWeir(t);
  const ids = await fill(weir, someSources(3));
  const page = await openReader(t, weir, { path: `/#/source/${ids.Builds}` });
  await page.getByRole('button', { name: 'Edit source' }).click();
  await accessible(page, 'the dialog to edit a source');
  await page.getByLabel('Name').fill('Machines');
  await page.getByLabel('Folder').fill('Work');
  await page.getByLabel('Keep items').fill('7');
  await press(page, 'Enter');
  await page.getByRole('navigation').getByRole('link', { name: /Work/ }).waitFor();
  const source = await weir.get(`/api/sources/${ids.Builds}`);
  assert.deepEqual([source.title, source.folder, source.keep_days], ['Machines', 'Work', 7]);
  // Empty is the reader's own setting again, not for ever.
  await page.getByRole('button', { name: 'Edit source' }).click();
  await page.getByLabel('Keep items').fill('');
  await press(page, 'Enter');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  const again = await weir.get(`/api/sources/${ids.Builds}`);
  assert.equal(again.keep_days, undefined);
});

test('a phone: one pane at a time, by touch, and the way back', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(8));
  const page = await openReader(t, weir, { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true });
  await rows(page).first().waitFor();
  assert.equal(await page.locator('nav').isVisible(), false);
  const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.ok(await fits(), 'the list is wider than the phone');
  await accessible(page, 'the list on a phone');
  await rows(page).first().getByRole('link').tap();
  await heading(page).waitFor();
  assert.equal(await page.locator('.list').isVisible(), false);
  assert.ok(await fits(), 'the article is wider than the phone');
  await accessible(page, 'an article on a phone');
  await page.goBack();
  await until(() => rows(page).first().isVisible(), 2000);
  await rows(page).nth(1).getByRole('link').tap();
  await page.getByRole('button', { name: 'Back' }).tap();
  await until(() => rows(page).first().isVisible(), 2000);
  await page.getByRole('button', { name: 'Sources' }).tap();
  await page.getByRole('navigation').getByRole('link', { name: /River Notes/ }).waitFor();
  assert.ok(await fits(), 'the sources are wider than the phone');
  await accessible(page, 'the sources on a phone');
  await page.getByRole('navigation').getByRole('link', { name: /River Notes/ }).tap();
  await page.getByRole('heading', { name: 'River Notes', level: 2 }).waitFor();
  assert.equal(await page.locator('nav').isVisible(), false);
});

test('Chinese by the browser\'s language, dark by the system\'s, nothing moves', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(6));
  const page = await openReader(t, weir, { locale: 'zh-CN', colorScheme: 'dark' });
  await page.getByRole('heading', { name: '未读', level: 2 }).waitFor();
  await rows(page).first().waitFor();
  await press(page, 'j');
  const [ground] = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor.match(/\d+/));
  assert.ok(Number(ground) < 60, 'the ground is not dark');
  const visible = await page.locator('nav, .list header, .article .actions').allInnerTexts();
  assert.doesNotMatch(visible.join(' ').replace(/Weir|River Notes|Builds|Water/g, ''), /[A-Za-z]{3,}/, 'English is left over');
  await accessible(page, 'the reader in Chinese, dark');
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
});

test('axe finds nothing in the reader, light, at three widths', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(12));
  const page = await openReader(t, weir, { colorScheme: 'light' });
  await rows(page).first().waitFor();
  await press(page, 'j', 's', 'w');
  await page.locator('.article .why > div').waitFor();
  for (const width of [1280, 900, 1920]) {
    await page.setViewportSize({ width, height: 800 });
    await accessible(page, `the reader at ${width}`);
  }
});

test('without the network the page opens and says so', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(3));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  await until(() => page.evaluate(async () => Boolean((await navigator.serviceWorker.getRegistration())?.active)), 5000);
  await page.reload();
  await rows(page).first().waitFor();
  const kept = await page.evaluate(async () => (await Promise.all((await caches.keys()).map(async (name) => (await (await caches.open(name)).keys()).map((one) => new URL(one.url).pathname)))).flat());
  assert.ok(kept.includes('/') && kept.every((path) => path === '/' || path.startsWith('/assets/')), `kept: ${kept}`);
  await page.context().setOffline(true);
  await page.reload();
  await page.getByRole('alert').filter({ hasText: 'Weir does not answer' }).waitFor();
  await page.context().setOffline(false);
  await page.getByRole('button', { name: 'Try again' }).click();
  await rows(page).first().waitFor();
});

// WEIR_SCREENSHOT=1: for you, with the model; plain: without one.
if (process.env.WEIR_SCREENSHOT) test('the picture for the README', async (t) => {
  const model = process.env.WEIR_SCREENSHOT !== 'plain';
  const weir = await startWeir(t, model ? { more: [] } : {});
  await fill(weir, SOURCES);
  const page = await openReader(t, weir, { viewport: { width: 1200, height: 720 }, colorScheme: 'light' });
  const { items } = await weir.get('/api/items?limit=100');
  const metrics = async () => (await fetch(`${weir.base}/metrics`, { headers: { authorization: `Bearer ${weir.token}` } })).text();
  if (model) await until(async () => new RegExp(`^weir_encoded_total ${items.length}$`, 'm').test(await metrics()), 120_000, () => 'the items are not encoded');
  const judged = items.flatMap(({ title, _weir: { id } }) => (LIKED.test(title) ? ['like', 'star', 'finish'].map((kind) => ({ item: id, kind })) : DISLIKED.test(title) ? [{ item: id, kind: 'dislike' }] : OPENED.test(title) ? [{ item: id, kind: 'open', dwell_s: 70 }] : []));
  assert.ok(judged.length >= 10);
  await weir.post('/api/signals', judged);
  for (const { item } of judged) await weir.patch(`/api/items/${item}`, { read: true });
  await page.goto('about:blank');
  await page.goto(`${weir.base}/#/all?order=${model ? 'ranked' : 'newest'}&state=unread`);
  await rows(page).first().waitFor();
  await press(page, 'j', 'w');
  await page.locator('.why meter').first().waitFor();
  await page.waitForTimeout(200);
  const file = join(root, 'docs/screenshot.png');
  await page.screenshot({ path: file });
  assert.ok(readFileSync(file).length < 200_000);
});
