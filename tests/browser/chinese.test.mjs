// The Chinese page where the server has something to say: every way in which a source can fail, doctor with much that is wrong, refusals, and answers of
// others in between. No sentence of ours is left in English.
import assert from 'node:assert/strict';
import { createServer as listen } from 'node:net';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { accessible, fill, oneLanguage, openReader, rows, someItems, startWeir, stopBrowser, until } from './weir.mjs';

after(stopBrowser);
const han = /\p{Script=Han}/u;

// Servers that do what servers should not. By path: what the answer is; `raw` writes to the socket itself.
const rss = (inside) => `<?xml version="1.0"?><rss version="2.0"><channel><title>t</title>${inside}</channel></rss>`;
const WAYS = {
  http_status: { status: 404 }, 'http_status/500': { status: 500 }, feed_gone: { status: 410 },
  page_now: { type: 'text/html', body: '<!doctype html><title>A page</title><p>No feed.' },
  list_now: { body: '<opml version="2.0"><body><outline type="rss" text="x" xmlUrl="https://feeds.example/x"/></body></opml>' },
  other_xml: { body: '<note><to>you</to></note>' }, document_empty: { body: '  ' }, no_markup: { type: 'text/plain', body: 'just words' },
  json_no_feed: { type: 'application/json', body: '{"a":1}' }, not_json: { type: 'application/json', body: '{"items":[' },
  elements_too_deep: { body: rss('<a>'.repeat(5000)) },
  body_too_large: { body: rss(`<item><description>${'x'.repeat(11 << 20)}</description></item>`) },
  redirects_too_many: { status: 302, location: '/redirects_too_many' }, redirect_not_http: { status: 302, location: 'ftp://example.org/' }, redirect_nowhere: { status: 302 },
  address_private: { status: 302, location: 'http://10.0.0.1/feed' },
  no_reply: { raw: '' }, not_http_address: { raw: 'hello\r\n\r\n' }, reply_cut_off: { raw: 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n<rss>' },
  body_not_compressed: { raw: 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 20\r\n\r\nthis is no gzip bytes' },
  compressed_twice: { raw: 'HTTP/1.1 200 OK\r\ncontent-encoding: gzip, br\r\ncontent-length: 2\r\n\r\nxx' },
};

async function oddServers(t) {
  const server = createServer((request, response) => {
    const { status = 200, type = 'application/xml', body = '', location } = WAYS[request.url.slice(1)] ?? { status: 404 };
    response.writeHead(status, { 'content-type': type, ...(location && { location }) }).end(body);
  });
  const raw = listen((socket) => socket.on('error', () => {}).once('data', (bytes) => socket.end(WAYS[String(bytes).split(' ')[1].slice(1)]?.raw ?? '')));
  for (const one of [server, raw]) {
    await new Promise((done) => one.listen(0, '127.0.0.1', done));
    t.after(() => new Promise((done) => {
      one.closeAllConnections?.();
      one.close(done);
    }));
  }
  const at = (one) => `127.0.0.1:${one.address().port}`;
  const places = new Map(Object.entries(WAYS).map(([key, way]) => [`http://${at('raw' in way ? raw : server)}/${key}`, key.split('/')[0]]));
  places.set(`https://${at(server)}/tls`, 'no_tls');
  places.set('http://nowhere.invalid/feed', 'no_such_host');
  places.set('http://127.0.0.1:22/feed', 'port_refused');
  places.set('http://127.0.0.1:45998/feed', 'no_connection');
  places.set('http://192.168.77.1/feed', 'address_private');
  return places;
}

test('sources that fail, each in its own way: why is said in Chinese, in the list of sources and where one is edited', async (t) => {
  const places = await oddServers(t);
  const weir = await startWeir(t);
  const text = [...places.keys()].map((url, at) => `<outline type="rss" text="来源 ${at}" xmlUrl="${url}"/>`).join('');
  await fetch(`${weir.base}/api/import`, { method: 'POST', headers: { authorization: `Bearer ${weir.token}`, 'content-type': 'text/x-opml' }, body: `<opml version="2.0"><body>${text}</body></opml>` });
  let sources = [];
  await until(async () => (sources = (await weir.get('/api/sources')).sources).every((source) => source.problem), 25_000,
    () => `not tried: ${sources.filter((source) => !source.problem).map((source) => source.url)}`);
  for (const source of sources) assert.equal(source.problem.key, places.get(source.url), `${source.url}: ${source.error}`);

  await weir.put('/api/settings', { language: 'zh' });
  const page = await openReader(t, weir, { locale: 'zh-CN' });
  await until(async () => han.test(await page.locator('nav .failing').first().getAttribute('title')), 5000);
  const said = await page.locator('nav .failing').evaluateAll((marks) => marks.map((mark) => mark.title));
  assert.equal(said.length, places.size);
  assert.ok(new Set(said.map((one) => one.replace(/^http\S+?：/, ''))).size >= places.size - 2, 'each failure has its own sentence');
  for (const one of said) assert.match(one, han);
  await oneLanguage(page, 'zh', 'failing sources');

  const gone = sources.find((source) => source.problem.key === 'no_such_host');
  await page.goto(`${weir.base}/#/source/${gone.id}`);
  await page.getByRole('button', { name: '编辑来源' }).click();
  await page.getByRole('dialog').getByText('查不到这个主机名').waitFor();
  await oneLanguage(page, 'zh', 'a failing source, edited');
  await accessible(page, 'a failing source, edited');

  // The doctor knows of them too, and of a machine that lacks things.
  await page.keyboard.press('Escape');
  await page.goto(`${weir.base}/#/settings`);
  await page.locator('.doctor').getByText('1 个的主机名查不到').waitFor();
  const checks = await page.locator('.doctor dd').allInnerTexts();
  assert.ok(checks.length >= 8);
  for (const one of checks) assert.match(one, han);
  await oneLanguage(page, 'zh', 'the doctor');
  await accessible(page, 'the doctor');

  // The same in English is what the server says, as ever.
  await weir.put('/api/settings', { language: 'en' });
  await page.reload();
  await page.locator('.doctor').getByText('have a host that it does not know').waitFor();
  assert.deepEqual((await page.locator('nav .failing').evaluateAll((marks) => marks.map((mark) => mark.title))).sort(), sources.map((source) => source.error).sort());
});

test('the doctor where much is wrong, and refusals of every kind', async (t) => {
  const weir = await startWeir(t, { more: [], env: { WEIR_MODELS: '/nowhere', WEIR_CPU: 'scalar' } });
  await fill(weir, [{ title: '河上笔记', items: someItems(3, { chinese: true }) }]);
  await weir.put('/api/settings', { language: 'zh' });
  const page = await openReader(t, weir, { locale: 'zh-CN' });
  await page.goto(`${weir.base}/#/settings`);
  const doctor = page.locator('.doctor');
  await doctor.getByText('模型无法载入').or(doctor.getByText('模型不在本机')).first().waitFor();
  await doctor.getByText('按 WEIR_CPU 使用指令集 scalar').waitFor();
  await oneLanguage(page, 'zh', 'the doctor where much is wrong');

  // Refusals that the server words: a name that is taken, a password that is short, a search that is none.
  const toast = async (text) => {
    await page.locator('.toast.shown', { hasText: text }).waitFor();
    await oneLanguage(page, 'zh', text);
  };
  const users = page.getByRole('region', { name: '用户' });
  await users.getByLabel('名称').fill('reader');
  await users.getByRole('button', { name: '添加用户' }).click();
  await toast('已经有这个名称的用户');
  await users.getByLabel('名称').fill('a:b');
  await users.getByRole('button', { name: '添加用户' }).click();
  await toast('不能有控制字符、冒号和斜杠');
  const password = page.getByRole('region', { name: '密码' });
  await password.getByLabel('新密码').fill('short');
  await password.getByRole('button', { name: '更改密码' }).click();
  await toast('密码须有 8 到 1024 个字节');
  await page.goto(`${weir.base}/#/all?q=a*`);
  await page.getByRole('alert').filter({ hasText: '至少要写四个字母' }).waitFor();
  await oneLanguage(page, 'zh', 'a search that is refused');
  await page.goto(`${weir.base}/#/all?q=${encodeURIComponent('河流')}&order=relevance`);
  await page.getByText('最新 200 个结果').waitFor();
  await oneLanguage(page, 'zh', 'best matches');
  await page.goto(`${weir.base}/#/all?order=ranked&state=all`);
  await rows(page).first().waitFor();
  await page.getByText('最新 1000 条中的最佳').waitFor();
  await oneLanguage(page, 'zh', 'for you');

  // What the server, or somebody between, may answer with.
  const json = (status, error) => ({ status, contentType: 'application/json', body: JSON.stringify({ error }) });
  for (const [answer, expected] of [
    [json(503, { code: 'unavailable', message: 'too many requests wait already' }), '现在很忙'],
    [json(429, { code: 'too_many_tries', message: 'wait' }), '尝试次数过多'],
    [json(500, { code: 'io', message: 'disk I/O error', where: '/data/weir.db' }), '读写或连接失败'],
    [json(500, { code: 'a_code_of_tomorrow', message: 'nobody knows this one' }), 'Weir 应答 500'],
    [json(400, { code: 'invalid', message: 'odd', key: 'a_key_of_tomorrow', values: { a: 'b' } }), '不符合要求'],
    [{ status: 502, contentType: 'text/html', body: '<h1>Bad gateway</h1>' }, '格式不对'],
    [{ status: 504, body: '' }, 'Weir 应答 504'],
  ]) {
    await page.route('**/api/items?**', (route) => route.fulfill(answer));
    await page.goto(`${weir.base}/#/all?q=${answer.status}${expected.length}`);
    await page.getByRole('alert').filter({ hasText: expected }).waitFor();
    await oneLanguage(page, 'zh', `an answer ${answer.status}`);
    await page.unroute('**/api/items?**');
  }
});
