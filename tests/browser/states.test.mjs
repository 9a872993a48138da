// The reader's page where things are not as they should be: the server gone or slow, the session over, two windows, hands that press twice, the way back, and
// items that no feed should have. And every view before axe, in both languages and themes, wide and narrow.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { accessible, fill, oneLanguage, openReader, rows, selected, someItems, someSources, startSite, startWeir, stopBrowser, titles, until } from './weir.mjs';

after(stopBrowser);

const press = async (page, ...keys) => {
  for (const key of keys) await page.keyboard.press(key);
};
const heading = (page) => page.locator('.article h2');
const toast = (page, text) => page.locator('.toast.shown', { hasText: text }).waitFor();

test('a key that comes before the browser has said that a dialog is closed opens the next one', async (t) => {
  const page = await openReader(t, await startWeir(t));
  await press(page, 'a');
  await page.getByRole('dialog').waitFor();
  await page.evaluate(() => {
    const field = document.activeElement;
    document.querySelector('dialog').close();   // its `close` comes in a task of its own, after this one; a key may still be told to the field
    field.dispatchEvent(new KeyboardEvent('keydown', { key: 'A', bubbles: true }));
  });
  await page.waitForTimeout(100);
  await page.getByRole('dialog', { name: 'Mark all read?' }).waitFor({ timeout: 5000 });
});

test('a page with several feeds: the reader chooses', async (t) => {
  const weir = await startWeir(t);
  const site = await startSite(t);
  const page = await openReader(t, weir);
  await press(page, 'a');
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Address of a feed').fill(`${site.base}/choice`);
  await press(page, 'Enter');
  const choice = dialog.getByRole('group', { name: /several feeds/ });
  await choice.waitFor();
  await accessible(page, 'the choice of feeds');
  assert.equal((await weir.get('/api/sources')).sources.length, 0, 'nothing is taken before it is chosen');
  const add = dialog.getByRole('button', { name: 'Add', exact: true });
  await choice.getByLabel(/Letters/).uncheck();
  assert.ok(await add.isDisabled());
  await choice.getByLabel(/Notes/).check();
  await choice.getByLabel(/Gone/).check();
  await add.click();
  await page.locator('#add-problem', { hasText: '404' }).waitFor();   // the one is added; the other cannot be, and stays to be seen
  assert.deepEqual((await weir.get('/api/sources')).sources.map((source) => source.title), ['Heron Notes']);
  assert.equal(await choice.getByLabel(/Notes/).isChecked(), false);
  await choice.getByLabel(/Gone/).uncheck();
  await choice.getByLabel(/Letters/).check();
  await add.click();
  await toast(page, 'Heron Letters');
  await until(async () => (await rows(page).count()) === 3, 5000);

  // Without a choice the first is taken, and the others are named.
  const added = await weir.post('/api/sources', { url: `${site.base}/choice`, title: 'again' }).catch((error) => error.message);
  assert.match(String(added), /409/, 'the first one is there already');
  const [letters] = (await weir.get('/api/sources')).sources.filter((source) => source.title === 'Heron Letters');
  await weir.run('unsubscribe').catch(() => {});
  await fetch(`${weir.base}/api/sources/${letters.id}`, { method: 'DELETE', headers: { authorization: `Bearer ${weir.token}` } });
  const first = await weir.post('/api/sources', { url: `${site.base}/choice` });
  assert.equal(first.title, 'Heron Letters');
  assert.deepEqual(first.feeds.map((feed) => feed.title), ['Notes', 'Gone']);
});

test('a bad address is answered in the reader\'s language, with what to do', async (t) => {
  const weir = await startWeir(t);
  const site = await startSite(t);
  const page = await openReader(t, weir);
  await press(page, 'a');
  for (const [address, said] of [[`${site.base}/nothing`, /link called RSS/], [`${site.base}/missing`, /404; check the address/], ['http://127.0.0.1:45999/', /is the server up, and the port right/], ['ftp://example.org/feed', /give the address/], ['http://[', /address/]]) {
    await page.getByLabel('Address of a feed').fill(address);
    await press(page, 'Enter');
    await page.locator('#add-problem', { hasText: said }).waitFor();
  }
  await weir.put('/api/settings', { language: 'zh' });
  await page.reload();
  await page.locator('.rows').waitFor();
  await press(page, 'a');
  for (const address of [`${site.base}/nothing`, `${site.base}/missing`, 'http://127.0.0.1:45999/', 'ftp://example.org/feed']) {
    await page.getByLabel('订阅源或网页的地址').fill(address);
    await press(page, 'Enter');
    await page.locator('#add-problem', { hasText: /\p{Script=Han}/u }).waitFor();
    await oneLanguage(page, 'zh', address);
    await page.getByLabel('订阅源或网页的地址').fill('');
  }
});

test('the server is gone: it is said, and the reader goes on when it is back', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, someSources(60));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  await press(page, 'n');
  await page.route('**/api/**', (route) => route.abort());
  await press(page, 's');
  await toast(page, 'Weir does not answer');
  await press(page, 'g', 'a');
  await page.getByRole('alert').filter({ hasText: 'Weir does not answer' }).waitFor();
  await accessible(page, 'the server gone');
  await page.unroute('**/api/**');
  await page.getByRole('button', { name: 'Try again' }).click();
  await rows(page).first().waitFor();
  // More, while it is gone: the rows that are there stay.
  const before = await rows(page).count();
  await page.route('**/api/**', (route) => route.abort());
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await toast(page, 'Weir does not answer');
  assert.equal(await rows(page).count(), before);
  await page.unroute('**/api/**');
  await page.getByRole('button', { name: 'More', exact: true }).click();
  await until(async () => (await rows(page).count()) > before, 5000);
});

test('a slow network: no rows of the place before under a new heading; the last answer wins', async (t) => {
  const weir = await startWeir(t);
  const ids = await fill(weir, someSources(6));
  const page = await openReader(t, weir, { path: `/#/source/${ids['River Notes']}` });
  await until(async () => (await rows(page).count()) === 6, 5000);
  let slow = 1500;
  await page.route('**/api/items?**', async (route) => {
    const wait = slow;
    slow = 0;   // the first is slow, the next is not
    await new Promise((done) => setTimeout(done, wait));
    await route.continue().catch(() => {});
  });
  await page.getByRole('navigation').getByRole('link', { name: /Builds/ }).click();
  await page.getByRole('heading', { name: 'Builds', level: 2 }).waitFor();
  await page.getByText('Loading…').waitFor();
  await until(async () => (await rows(page).count()) === 0, 1200, () => 'rows of another source stand under the new heading');
  await page.getByRole('navigation').getByRole('link', { name: /水文周刊/ }).click();
  await until(async () => (await rows(page).count()) === 3, 1200);
  await page.waitForTimeout(1600);
  assert.equal(await rows(page).count(), 3, 'a late answer took the place of the newer one');
});

test('the session ends: sign in, and back to where it was', async (t) => {
  const weir = await startWeir(t);
  await weir.post('/api/users', { name: 'ann', password: 'heron on the sill' });
  const page = await openReader(t, weir, { signIn: false });
  const signIn = async () => {
    await page.getByLabel('Name').fill('ann');
    await page.getByLabel('Password').fill('heron on the sill');
    await press(page, 'Enter');
    await page.locator('.rows').waitFor();
  };
  await page.goto(`${weir.base}/login`);
  assert.equal(await page.getByRole('alert').innerText(), '');
  await signIn();
  await press(page, 'g', 'b');
  await page.getByRole('heading', { name: 'Starred', level: 2 }).waitFor();
  await page.context().clearCookies();
  await press(page, 'r');
  await page.waitForURL('**/login#**');
  await page.getByRole('alert').filter({ hasText: 'The session has ended' }).waitFor();
  await accessible(page, 'signing in again');
  await signIn();
  await page.getByRole('heading', { name: 'Starred', level: 2 }).waitFor();
  assert.equal(new URL(page.url()).pathname, '/');
});

test('two windows: what one marks, the other shows, though it marks things itself', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, [{ title: 'River Notes', items: someItems(5) }]);
  const one = await openReader(t, weir), two = await openReader(t, weir);
  await rows(one).nth(4).waitFor();
  await rows(two).nth(4).waitFor();
  const star = (page, at) => rows(page).nth(at).getByRole('button', { name: 'Star' });
  await star(two, 4).click();
  await star(one, 0).click();
  await until(async () => (await star(two, 0).getAttribute('aria-pressed')) === 'true', 5000, () => 'a star of the other window is not shown');
  await until(async () => (await star(one, 4).getAttribute('aria-pressed')) === 'true', 5000);
  await press(one, 'A', 'Enter');
  await until(async () => (await two.locator('.rows li.unread').count()) === 0, 5000, () => 'what the other window marked is still unread here');
  assert.equal(await rows(two).count(), 5, 'rows stay where they are');
});

test('double clicks do nothing twice', async (t) => {
  const weir = await startWeir(t);
  const ids = await fill(weir, someSources(3));
  const page = await openReader(t, weir, { path: `/#/source/${ids.Builds}` });
  await page.getByRole('button', { name: 'Edit source' }).click();
  await page.getByRole('button', { name: 'Unsubscribe' }).dblclick();
  await page.getByRole('button', { name: 'Press again' }).waitFor();
  assert.equal((await weir.get('/api/sources')).sources.length, 3, 'a double click unsubscribed');
  await press(page, 'Escape');
  await page.getByRole('button', { name: 'Mark all read' }).dblclick();
  await page.getByRole('dialog').getByRole('button', { name: 'Mark all read' }).click();
  await toast(page, 'Marked as read: 1');
  await press(page, 'g', 's');
  const tokens = page.getByRole('region', { name: 'Tokens' });
  await tokens.getByLabel('Name').fill('phone');
  await tokens.getByRole('button', { name: 'Create token' }).dblclick();
  await tokens.locator('.secret').waitFor();
  await page.waitForTimeout(300);
  assert.equal((await weir.get('/api/tokens')).tokens.filter((token) => token.name === 'phone').length, 1);
});

test('back and forward: through places and articles, and opening and closing leaves no trail', async (t) => {
  const weir = await startWeir(t);
  const ids = await fill(weir, someSources(8));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  const at = () => page.evaluate(() => location.hash);
  await press(page, 'g', 'a');
  await page.getByRole('heading', { name: 'All items', level: 2 }).waitFor();
  await page.getByRole('navigation').getByRole('link', { name: /River Notes/ }).click();
  await page.getByRole('heading', { name: 'River Notes', level: 2 }).waitFor();
  await until(async () => (await rows(page).count()) > 0, 5000);
  for (let i = 0; i < 4; i++) {
    await press(page, 'j');
    await heading(page).waitFor();
    await press(page, 'Escape');
    await heading(page).waitFor({ state: 'detached' });
  }
  await press(page, 'j');
  const title = await heading(page).innerText(), article = await at();
  await page.goBack();
  await heading(page).waitFor({ state: 'detached' });
  assert.match(await at(), new RegExp(`source/${ids['River Notes']}`));
  await page.goBack();
  await page.getByRole('heading', { name: 'All items', level: 2 }).waitFor();
  await page.goForward();
  await page.getByRole('heading', { name: 'River Notes', level: 2 }).waitFor();
  await page.goForward();
  await heading(page).waitFor();
  assert.equal(await heading(page).innerText(), title);
  assert.equal(await at(), article);
  await page.reload();   // at an article's address
  await heading(page).waitFor();
  assert.equal(await heading(page).innerText(), title);
  await rows(page).first().waitFor();
  await page.goto(`${weir.base}/#/all?item=999999`);
  await toast(page, 'That did not work');
  await rows(page).first().waitFor();
});

test('on a phone the list is where it was when the article is closed', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, [{ title: 'River Notes', items: someItems(40) }]);
  const page = await openReader(t, weir, { viewport: { width: 375, height: 667 }, hasTouch: true, isMobile: true });
  await rows(page).nth(30).scrollIntoViewIfNeeded();
  const at = () => rows(page).nth(30).evaluate((row) => row.getBoundingClientRect().top);
  await rows(page).nth(30).getByRole('link').tap();
  await heading(page).waitFor();
  await page.goBack();
  await until(() => rows(page).nth(30).isVisible(), 2000);
  assert.ok((await at()) > 0 && (await at()) < 667, `the list has jumped: its row is at ${await at()}`);
  await page.getByRole('button', { name: 'Sources' }).tap();
  await page.getByRole('navigation').getByRole('link', { name: /River Notes/ }).waitFor();
  await press(page, 'Escape');
  assert.ok((await at()) > 0 && (await at()) < 667, `the list has jumped behind the sources: its row is at ${await at()}`);
  await rows(page).nth(30).getByRole('link').tap();
  await page.reload();
  await heading(page).waitFor();
  assert.equal(await page.locator('.list').isVisible(), false, 'an article\'s address shows the article');
  await page.getByRole('button', { name: 'Back' }).tap();
  await until(() => rows(page).first().isVisible(), 2000);
});

test('items that no feed should have', async (t) => {
  const weir = await startWeir(t);
  const long = 'Überlänge '.repeat(400).trim(), word = 'x'.repeat(5000);
  const source = `${'Very long source name '.repeat(20)}end`;
  await fill(weir, [{ title: source, folder: `Folder ${'f'.repeat(200)}`, items: [
    { id: 'long', title: long, content_html: `<p>${long}</p><table><tr>${'<td>wide</td>'.repeat(60)}</tr></table><pre>${word}</pre>` },
    { id: 'word', title: word, content_text: word },
    { id: 'rtl', title: 'مرحبا بالعالم: ‏(العدد 12)', content_html: '<p>هذا نص من اليمين إلى اليسار.</p>', language: 'ar' },
    { id: 'bidi', title: '\u202Eesrever\u202C plain', content_text: 'after \u202E the end' },
    { id: 'untitled', content_html: '<p>No title, but a text that says what it is.</p>' },
    { id: 'nothing' },
    { id: 'markup', title: '<b>bold</b> &amp; <i>x</i>', content_text: '1 < 2 && 3 > 2' },
    { id: 'old', title: 'From 1970', content_text: 'old', date_published: '1970-01-01T00:00:00Z' },
    { id: 'future', title: 'From 2199', content_text: 'new', date_published: '2199-01-01T00:00:00Z' },
    { id: 'emoji', title: '👩‍🚀'.repeat(60), content_text: '👩‍🚀' },
  ] }, { title: 'مصدر', items: [] }].map((one) => one.items.length ? one : { ...one, items: [{ id: '1', title: 'واحد' }] }));
  for (const width of [1280, 375]) {
    const page = await openReader(t, weir, { viewport: { width, height: 720 }, path: '/#/all?state=all' });
    await until(async () => (await rows(page).count()) === 11, 5000);
    const fits = async (what) => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${what} is wider than ${width}`);
    await fits('the list');
    const shown = await titles(page);
    assert.ok(shown.includes('<b>bold</b> &amp; <i>x</i>') || shown.includes('<b>bold</b> & <i>x</i>'), 'markup in a title is text');
    assert.ok(shown.some((title) => title.startsWith('No title, but a text')), 'an item without a title has its first words');
    assert.ok(shown.includes('(no title)'));
    for (let i = 0; i < 11; i++) {
      await rows(page).nth(i).getByRole('link').click();
      await heading(page).waitFor();
      await fits(`item ${i}`);
      assert.ok((await page.locator('.article .meta time').innerText()).length, `item ${i} has no time`);
      if ((await heading(page).innerText()).includes('مرحبا')) assert.equal(await heading(page).evaluate((node) => getComputedStyle(node).direction), 'rtl');
      if (width < 720) await page.goBack();
    }
    await accessible(page, `odd items at ${width}`);
  }
});

test('10,000 unread: counted, paged, marked', async (t) => {
  const weir = await startWeir(t);
  const items = Array.from({ length: 10_001 }, (_, i) => ({ id: `i${i}`, title: `Item ${i}`, content_text: 'A line of text.' }));
  const { id } = await weir.post('/api/sources', { push: true, title: 'Flood' });
  for (let at = 0; at < items.length; at += 2000) await weir.post(`/api/sources/${id}/items`, items.slice(at, at + 2000));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();
  await page.locator('.places a').first().getByText('9999+').waitFor();
  for (let i = 1; i <= 5; i++) {
    await page.getByRole('button', { name: 'More', exact: true }).click();
    await until(async () => (await rows(page).count()) === 40 * (i + 1), 5000);
  }
  await press(page, 'A', 'Enter');
  await toast(page, 'Marked as read: 10001');
  assert.equal(await page.locator('.places .count').count(), 0);
  await page.getByRole('navigation').getByRole('link', { name: /^Unread/ }).click();
  await page.getByText('Nothing unread here.').waitFor();
});

// Each language, theme and width with each of the others at least once; all eight under WEIR_LONG.
const LOOKS = [['en', 'light', 'wide'], ['zh', 'dark', 'wide'], ['en', 'dark', 'narrow'], ['zh', 'light', 'narrow'],
  ...(process.env.WEIR_LONG ? [['en', 'dark', 'wide'], ['zh', 'light', 'wide'], ['en', 'light', 'narrow'], ['zh', 'dark', 'narrow']] : [])];
for (const [language, theme, width] of LOOKS) test(`axe finds nothing on any view: ${language}, ${theme}, ${width}; and nothing is left in the other language`, async (t) => {
  const weir = await startWeir(t, { more: [], env: { WEIR_MODELS: '/nowhere' } });
  await weir.put('/api/settings', { language, theme });
  const narrow = width === 'narrow';
  const look = { viewport: narrow ? { width: 375, height: 720 } : { width: 1280, height: 800 }, hasTouch: narrow, locale: language === 'zh' ? 'zh-CN' : 'en-GB', colorScheme: theme };
  const seen = async (page, name) => {
    await page.waitForTimeout(50);
    await accessible(page, `${name}, ${language}, ${theme}, ${width}`);
    const ground = await page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor.match(/\d+/g).map(Number));
    if (ground.length === 3) assert.equal(ground.reduce((a, b) => a + b) < 384, theme === 'dark', `${name} is not ${theme}`);   // else the browser's own
    await oneLanguage(page, language, name);
  };
  const tell = language === 'zh' ? { title: '河上笔记', folder: '水', text: '今天早晨水流平稳，下午闸门打开。' } : { title: 'River Notes', folder: 'Water', text: 'The water came over the sill in one sheet.' };

  const door = await openReader(t, weir, { ...look, signIn: false });
  await door.goto(`${weir.base}/login`);
  await seen(door, 'signing in');
  await door.getByRole('button').click();
  await door.goto(`${weir.base}/login?link=used-up`).catch(() => {});
  await door.getByRole('alert').waitFor();
  await seen(door, 'a link that was used');

  const page = await openReader(t, weir, look);
  await page.locator('.empty h3').waitFor();
  await seen(page, 'an empty Weir');
  if (!narrow) {
    await page.setViewportSize({ width: 1000, height: 700 });
    await seen(page, 'an empty Weir, narrower');
    await page.setViewportSize(look.viewport);
  }
  const { id } = await weir.post('/api/sources', { push: true, title: tell.title });
  await weir.patch(`/api/sources/${id}`, { folder: tell.folder });
  await weir.post(`/api/sources/${id}/items`, Array.from({ length: 45 }, (_, i) => ({ id: `${i}`, title: `${tell.title} ${i}`, url: `https://notes.example/${i}`, content_html: `<h2>${tell.title}</h2><p>${tell.text}</p><table><tr><th>1</th><td>2</td></tr></table><img src="https://notes.example/i.png"><pre>1 2 3</pre><iframe src="https://notes.example/v"></iframe>`, language, tags: [tell.folder], authors: [{ name: tell.folder }] })));
  await page.reload();
  await rows(page).first().waitFor();
  await seen(page, 'the list');
  await page.goto(`${weir.base}/#/source/${id}?order=ranked&state=all`);
  await until(async () => (await page.locator('.rows .why').count()) > 0, 5000);
  await page.locator('.rows .why summary').first().click();
  await page.locator('.rows .why meter').first().waitFor();
  await seen(page, 'for you');
  await rows(page).nth(2).getByRole('link').click();
  await heading(page).waitFor();
  await seen(page, 'an article');
  await page.goBack();
  await page.goto(`${weir.base}/#/all?q=zyzzyva&state=all`);
  await page.locator('.list p.empty').filter({ hasNotText: /…/ }).waitFor();
  if (language === 'en') await seen(page, 'a search that finds nothing');
  await page.goto(`${weir.base}/#/all?state=starred`);
  await page.locator('.list p.empty').filter({ hasNotText: /…/ }).waitFor();
  await seen(page, 'nothing starred');
  await page.goto(`${weir.base}/#/source/${id}`);
  await rows(page).first().waitFor();
  for (const [key, name] of [['?', 'the help'], ['a', 'the dialog to add'], ['A', 'the dialog to mark all']]) {
    await press(page, key);
    await page.getByRole('dialog').waitFor({ timeout: 10_000 }).catch(async (error) => assert.fail(`${name} did not open by ${key}: ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200))}: ${error.message}`));
    await seen(page, name);
    await press(page, 'Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  }
  await page.locator('.list header').getByRole('button', { name: language === 'zh' ? '编辑来源' : 'Edit source' }).click();
  await page.getByRole('dialog').waitFor();
  await seen(page, 'the dialog to edit a source');
  await press(page, 'Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  if (narrow) {
    await page.locator('.list header button').first().click();
    await page.getByRole('navigation').waitFor();
    await seen(page, 'the sources');
  }
  await page.goto(`${weir.base}/#/settings`);
  await page.locator('.doctor').waitFor();
  await seen(page, 'the settings');
});
