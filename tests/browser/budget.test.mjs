// The budgets of the reader (reference: the reading interface): script < 50 kB gzipped, a list from the server < 100 ms and its next page < 20 ms, first rows
// < 200 ms, a key press on the screen in < 50 ms; and ours: a sheet < 8 kB gzipped, 1,000 rows < 40 MB of heap.
// Times are medians, of real frames in Chromium, with 2,000 items in Weir. They are printed, whatever they are. A machine that is busy with something
// else makes any of them long: each has three rounds to be met in.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { fill, openReader, rows, someItems, startWeir, stopBrowser } from './weir.mjs';

after(stopBrowser);
const median = (numbers) => numbers.slice().sort((a, b) => a - b)[numbers.length >> 1];
const show = (numbers) => `median ${median(numbers).toFixed(1)} ms, worst ${Math.max(...numbers).toFixed(1)} ms of ${numbers.length}`;

async function rounds(budget, measure) {
  let times = [];
  for (let i = 0; i < 3 && (i === 0 || median(times) >= budget); i++) times = await measure();
  return times;
}

test('script, lists, first rows, key presses, memory', async (t) => {
  const weir = await startWeir(t);
  await fill(weir, [0, 1, 2, 3].map((n) => ({ title: `Source ${n}`, folder: `Folder ${n % 2}`, items: someItems(500, { site: `s${n}.example`, chinese: n === 3 }) })));
  const page = await openReader(t, weir);
  await rows(page).first().waitFor();

  // What a first visit loads, as it comes over the wire.
  const html = await (await fetch(weir.base)).text();
  let script = 0;
  for (const [, path] of html.matchAll(/(?:src|href)="(\/assets\/[^"]+\.js)"/g)) {
    const answer = await fetch(weir.base + path, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(answer.headers.get('content-encoding'), 'gzip');
    script += Number(answer.headers.get('content-length'));
  }
  const [, sheet] = html.match(/href="(\/assets\/style-[^"]+\.css)"/);
  const style = Number((await fetch(weir.base + sheet, { headers: { 'accept-encoding': 'gzip' } })).headers.get('content-length'));
  t.diagnostic(`script: ${script} bytes gzipped, style: ${style}`);
  assert.ok(script > 1000 && script < 50_000);
  assert.ok(style > 1000 && style < 8_000);

  // The server's part: the first page of a list, and the next one, whole answers over one connection.
  const list = [], next = [];
  for (let i = 0; i < 3 && (i === 0 || median(list) >= 100 || median(next) >= 20); i++) {
    list.length = next.length = 0;
    for (let k = 0; k < 30; k++) {
      let began = performance.now();
      const { cursor } = await weir.get('/api/items?state=unread&limit=40');
      list.push(performance.now() - began);
      began = performance.now();
      await weir.get(`/api/items?state=unread&limit=40&cursor=${encodeURIComponent(cursor)}`);
      next.push(performance.now() - began);
    }
  }
  t.diagnostic(`a list: ${show(list)}; its next page: ${show(next)}`);

  // From the start of the page to rows on the screen: what the browser has cached stays cached, as on any visit but the first.
  const first = await rounds(200, async () => {
    const times = [];
    for (let i = 0; i < 7; i++) {
      await page.goto('about:blank');
      await page.goto(weir.base);
      await rows(page).first().waitFor();
      times.push(await page.evaluate(() => performance.getEntriesByName('first-rows')[0].startTime));
    }
    t.diagnostic(`first rows: ${show(times)}`);
    return times;
  });

  // From a key press to the frame that shows the next article, measured in the page: the event's time to the frame after the change.
  await page.evaluate(() => {
    globalThis.times = [];
    addEventListener('keydown', (event) => {
      const shown = () => document.querySelector('.rows h3 a[aria-current]')?.id + document.querySelector('.article .body')?.textContent;
      const before = shown();
      const frame = () => requestAnimationFrame(() => {
        const channel = new MessageChannel();   // runs after that frame was painted
        channel.port1.onmessage = () => {
          if (shown() === before) frame();
          else globalThis.times.push(performance.now() - event.timeStamp);
        };
        channel.port2.postMessage(0);
      });
      frame();
    }, { capture: true });
  });
  const keys = await rounds(50, async () => {
    await page.evaluate(() => { globalThis.times = []; });
    for (let i = 0; i < 35; i++) {
      await page.keyboard.press('j');
      await page.waitForFunction((n) => globalThis.times.length > n, i);
    }
    const times = await page.evaluate(() => globalThis.times);
    t.diagnostic(`key press to paint: ${show(times)}`);
    return times;
  });
  // What a long list costs: rows stay, as long as the reader goes on.
  const devtools = await page.context().newCDPSession(page);
  for (let k = 2; k <= 25; k++) {
    await page.getByRole('button', { name: 'More', exact: true }).click();
    await page.waitForFunction((n) => document.querySelectorAll('.rows ol > li').length >= n, 40 * k);
  }
  await devtools.send('HeapProfiler.collectGarbage');
  const heap = (await devtools.send('Runtime.getHeapUsage')).usedSize / 1e6;
  t.diagnostic(`1,000 rows: ${heap.toFixed(1)} MB of heap`);
  assert.ok(heap < 40, `${heap} MB of heap`);
  assert.ok(median(list) < 100, `a list: ${show(list)}`);
  assert.ok(median(next) < 20, `its next page: ${show(next)}`);
  assert.ok(median(first) < 200, `first rows: ${show(first)}`);
  assert.ok(median(keys) < 50, `key press to paint: ${show(keys)}`);
});
