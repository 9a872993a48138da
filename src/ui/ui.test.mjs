// The parts of the reader that need no browser: catalogues, keys, addresses, text.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { ACTIONS, bindings, conflicts, GROUPS, ours, parse, print, reader } from './src/keys.js';
import * as route from './src/route.js';
import { absolute, excerpt, host, languageTag, minutes, plain, relative, webAddress } from './src/text.js';

const here = new URL('src/', import.meta.url);
const catalogue = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, here), 'utf8'));
const en = catalogue('en'), zh = catalogue('zh');
const server = (name) => readFileSync(new URL(`../${name}`, import.meta.url), 'utf8');

test('both catalogues have the same texts, with the same values in them', () => {
  const own = /^code_/;   // of errors the server's own sentences are the English ones
  assert.deepEqual(Object.keys(zh).filter((key) => !own.test(key)).sort(), Object.keys(en).sort());
  const codes = server('base/result.h').match(/enum class Code \{([^}]*)\}/)[1].match(/^\s*\w+(?=,)/gm).map((name) => name.trim());
  const doors = [...readdirSync(fileURLToPath(new URL('../http/', import.meta.url))).filter((name) => /(?<!_test)\.cc$/.test(name)).map((name) => server(`http/${name}`)).join('').matchAll(/\brefuse\([^;]*?"([a-z_]+)"/g)].map((match) => match[1]);
  assert.ok(doors.includes('too_many_tries'));
  assert.deepEqual(Object.keys(zh).filter((key) => own.test(key)).sort(), [...new Set([...codes, ...doors])].map((name) => `code_${name}`).sort(), 'a sentence for each code that the server has');
  const holes = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const [key, text] of Object.entries(en)) {
    assert.ok(text.trim() && zh[key].trim(), `${key} is empty`);
    assert.deepEqual(holes(zh[key]), holes(text), key);
  }
  for (const [key, text] of Object.entries(zh)) if (!/^(keys_conflict)$/.test(key)) assert.match(text, /\p{Script=Han}/u, `${key} is not Chinese: ${text}`);
});

test('each sentence of the server that a reader may see is there in Chinese, with the same values in it', () => {
  const said = catalogue('says.zh');
  const root = fileURLToPath(new URL('..', import.meta.url));
  const files = readdirSync(root, { recursive: true }).filter((name) => /(?<!_test)\.(cc|h)$/.test(name)).map((name) => [name, server(name)]);
  const english = new Map();   // by key; nothing where the text comes from elsewhere
  for (const [name, text] of files) {
    const code = text.replace(/^\s*\/\/.*$/gm, '');
    const calls = [...code.matchAll(/\bsay\(\s*"(\w+)",\s*"((?:[^"\\]|\\.)*)"\s*[,)]/g)];
    assert.equal(calls.length, (code.match(/(?<![.\w])say\((?!std::string_view)/g) ?? []).length, `${name}: say() takes its key and its English as literals`);
    for (const [, key, sentence] of calls) {
      assert.equal(english.get(key) ?? sentence, sentence, `${key} says two things`);
      english.set(key, sentence);
    }
    for (const [, key] of code.matchAll(/\b(?:named\(|said\([^;"]*, )"(\w+)"/g)) if (!english.has(key)) english.set(key, undefined);
  }
  assert.ok(english.size > 100);
  assert.deepEqual(Object.keys(said), [...english.keys()].sort(), 'a Chinese sentence for each key, sorted, and none without one');
  const holes = (text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const [key, text] of Object.entries(said)) {
    assert.match(text, /\p{Script=Han}/u, `${key} is not Chinese: ${text}`);
    if (english.get(key) !== undefined) assert.deepEqual(holes(text), holes(english.get(key)), key);
  }
  // What a fetch or a document can end in has a name.
  for (const [name, text] of files.filter(([name]) => /^ingest\/(fetch|parse|xml|charset|formats\/\w+)\.cc$/.test(name))) {
    const code = text.split('::open(Dialer')[0];   // what follows fails at the start of the program only
    assert.doesNotMatch(code, /\b(fail|failure|refuse)\((Code::\w+|code),(?!\s*(say\(|std::move))|\bError ?\{ *Code|[(,] *\{Code::/, `${name}: an error without a name`);
  }
});

test('every text that the sources ask for is there, and none is left over', () => {
  const sources = readdirSync(here).filter((name) => /\.(svelte|js|html)$/.test(name)).map((name) => readFileSync(new URL(name, here), 'utf8')).join('\n');
  const asked = new Set([...sources.matchAll(/\bt\('([\w.]+)'/g), ...sources.matchAll(/data-t="(\w+)"/g)].map((match) => match[1]));
  for (const match of sources.matchAll(/\bt\([^()]*\? '(\w+)' : '(\w+)'/g)) asked.add(match[1]).add(match[2]);
  for (const key of asked) assert.ok(key in en, `no text for ${key}`);
  const families = ['key_', 'group_', 'state_', 'order_', 'theme_', 'counts_', 'scope_', 'part_', 'media_', 'check_'];
  for (const key of Object.keys(en)) assert.ok(asked.has(key) || families.some((family) => key.startsWith(family)), `nobody uses ${key}`);
  for (const { name } of ACTIONS) assert.ok(en[`key_${name}`], name);
  for (const group of GROUPS) assert.ok(en[`group_${group}`], group);
  const parts = [...readFileSync(new URL('../rank/parts.cc', import.meta.url), 'utf8').matchAll(/^ {4}\{"([\w.]+)",/gm)].map((match) => match[1]);
  assert.ok(parts.length >= 4);
  for (const part of parts) assert.ok(en[`part_${part}`], `no name for the part ${part} of a score`);
  const checks = [...readFileSync(new URL('../engine/doctor.cc', import.meta.url), 'utf8').matchAll(/\{"([a-z]+)", ?(?:ok|note|bad|whole|behind|row|\n)/g)].map((match) => match[1]);
  assert.ok(checks.length >= 8);
  for (const check of checks) assert.ok(en[`check_${check}`], `no name for the doctor's ${check}`);
});

test('no key means two things, and the promised ones are there', () => {
  assert.deepEqual(conflicts(bindings()), []);
  const action = reader(bindings());
  const wanted = { j: 'next', k: 'previous', o: 'open', Enter: 'open', v: 'original', m: 'read', s: 'star', f: 'star', A: 'markAll', '/': 'search', '?': 'help',
    w: 'why', '+': 'like', '-': 'dislike', J: 'nextSource', K: 'previousSource', ' ': 'page', r: 'refresh' };
  for (const [key, name] of Object.entries(wanted)) assert.equal(action(key, 0), name, key);
});

test('two keys within a second are one; later, or another, is not', () => {
  const action = reader(bindings());
  assert.equal(action('g', 0), null);
  assert.equal(action('s', 300), 'goSettings');
  assert.equal(action('g', 1000), null);
  assert.equal(action('s', 2500), 'star');
  action('g', 3000);
  assert.equal(action('j', 3100), 'next');
  assert.equal(action('s', 3200), 'star');
});

test('a reader may change keys', () => {
  const table = bindings({ next: 'x, Space', page: '', goAll: 'z z' });
  const action = reader(table);
  assert.equal(action('x', 0), 'next');
  assert.equal(action(' ', 0), 'next');
  assert.equal(action('j', 0), null);
  action('z', 10);
  assert.equal(action('z', 20), 'goAll');
  assert.deepEqual(parse(print([' ', 'g u', 'A'])), [' ', 'g u', 'A']);
  assert.deepEqual(conflicts(bindings({ next: 'k' })), [['k', 'next', 'previous']]);
});

test('keys are not taken from fields, from modifiers, or from controls that use them', () => {
  const on = (selector) => ({ closest: (list) => list.split(/,(?![^(]*\))/).some((one) => one.trim().startsWith(selector)) ? {} : null });
  const key = (name, target = on('nothing'), more = {}) => ({ key: name, target, ...more });
  assert.ok(ours(key('j')));
  assert.ok(!ours(key('j', on('textarea'))));
  assert.ok(ours(key('Escape', on('textarea'))));
  assert.ok(!ours(key('j', undefined, { ctrlKey: true })));
  assert.ok(!ours(key('j', undefined, { isComposing: true })));
  assert.ok(!ours(key('Enter', on('a'))));
  assert.ok(ours(key(' ', on('a'))));
  assert.ok(!ours(key(' ', on('button'))));
});

test('addresses: what is printed is read back', () => {
  const views = [
    { page: 'list', source: 0, folder: '', order: 'newest', state: 'unread', q: '', item: 0 },
    { page: 'list', source: 12, folder: '', order: 'oldest', state: 'all', q: 'a & b?', item: 7 },
    { page: 'list', source: 0, folder: '新闻/技术 #1?', order: 'ranked', state: 'starred', q: '', item: 0 },
  ];
  for (const view of views) assert.deepEqual(route.parse(route.print(view)), view);
  assert.equal(route.parse('#/settings').page, 'settings');
  for (const odd of ['', '#', '#/folder/%E0%A4%A', '#/source/x', '#/all?order=__proto__&state=1&item=-', '#//?']) {
    const view = route.parse(odd, { order: 'oldest', state: 'all' });
    assert.equal(view.order, 'oldest');
    assert.equal(view.state, 'all');
  }
});

test('relative times in both languages', () => {
  const now = Date.parse('2026-03-10T12:00:00Z');
  const at = (seconds) => new Date(now - seconds * 1000).toISOString();
  assert.equal(relative(at(5), now, 'en'), 'now');
  assert.equal(relative(at(-4000), now, 'en'), 'now');
  assert.equal(relative(at(59), now, 'en'), 'now');
  assert.match(relative(at(60), now, 'en'), /^1\s?m/);
  assert.match(relative(at(3 * 3600), now, 'en'), /^3\s?h/);
  assert.equal(relative(at(86400), now, 'en'), 'yesterday');
  assert.match(relative(at(400 * 86400), now, 'en'), /y(ea)?r/);
  assert.match(relative(at(3 * 3600), now, 'zh-CN'), /3\s?小时前/);
  assert.equal(relative('no time', now, 'en'), '');
  assert.equal(absolute('no time', 'en'), '');
  assert.match(absolute('2026-03-10T12:00:00Z', 'zh-CN'), /2026年3月/);
});

test('the text of HTML, for rows: no markup, nothing of scripts and styles, entities as characters', () => {
  assert.equal(excerpt(plain('<p>a &amp; b</p><script>x()</script><style>p{}</style><p title="1 > 0">c&nbsp;&#8212;&#x6C34;</p><!-- no -->')), 'a & b c —水');
  assert.equal(plain('&lt;b&gt; &bogus; &#1114112; &#0;').trim(), '<b> &bogus; &#1114112; &#0;');
  assert.equal(plain(undefined), '');
  const began = performance.now();
  for (const nasty of ['<'.repeat(200_000), '<script>'.repeat(50_000), '<a "'.repeat(50_000), '<!--'.repeat(50_000)]) plain(nasty);
  assert.ok(performance.now() - began < 2000, 'hostile HTML takes too long');
});

test('reading minutes and excerpts', () => {
  assert.equal(minutes(''), 0);
  assert.equal(minutes('one word'), 1);
  assert.equal(minutes('word '.repeat(690)), 3);
  assert.equal(minutes('水'.repeat(1200)), 3);
  assert.equal(excerpt('  a\n\n b  '), 'a b');
  assert.equal(Array.from(excerpt('👩‍🚀'.repeat(400), 10)).length, 11);
  assert.ok(!/[\ud800-\udbff]…$/.test(excerpt('😀'.repeat(400), 10)), 'a character is cut in two');
  assert.equal(excerpt(undefined), '');
});

test('a language tag has the shape of one', () => {
  for (const good of ['en', 'zh-Hans', 'pt-BR', 'de-DE-1996']) assert.equal(languageTag(good), good);
  for (const bad of ['', undefined, null, 'e', '"><x', 'en us', '-en', 'javascript:x']) assert.equal(languageTag(bad), undefined);
});

test('only web addresses become links', () => {
  for (const bad of ['javascript:alert(1)', ' JaVaScRiPt:x', 'data:text/html,x', 'file:///etc/passwd', '//host', '', undefined, null, 'http://', 'vbscript:x'])
    assert.equal(webAddress(bad), '', String(bad));
  assert.equal(webAddress('https://example.org/a b'), 'https://example.org/a%20b');
  assert.equal(host('https://www.example.org/x'), 'example.org');
  assert.equal(host('no'), '');
});
