// Builds the web reader: node build.mjs OUT [NODE_MODULES]
//
// The Svelte compiler as an esbuild plugin, then the pages around it. OUT gets index.html, login.html, sw.js, manifest.webmanifest, favicon.ico,
// robots.txt and assets/NAME-HASH.*; what is text has a .br and a .gz beside it. The same sources give the same bytes. Nothing is inline: the pages run
// under `default-src 'none'` and Trusted Types.
import { createHash } from 'node:crypto';
import { access, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';
import { ico, png } from './icon.mjs';

const here = dirname(fileURLToPath(import.meta.url));
const source = join(here, 'src');
const out = process.argv[2];
const cache = process.env.WEIR_CACHE || join(homedir(), '.cache/weir');
const modules = process.argv[3] || join(cache, 'deps/node_modules');
if (!out) {
  console.error('usage: node build.mjs OUT [NODE_MODULES]');
  process.exit(2);
}
const require = createRequire(join(modules, 'of.js'));
const { compile, compileModule } = require('svelte/compiler');
const esbuild = require('esbuild');

const svelte = {
  name: 'svelte',
  setup(build) {
    const answer = ({ js, warnings }) => ({
      contents: js.code,
      loader: 'js',
      resolveDir: source,
      errors: warnings.map((w) => ({ text: `${w.code}: ${w.message}`, location: w.start && { file: w.filename, line: w.start.line, column: w.start.column } })),
    });
    // `tree`: elements are made one by one, so that no HTML is ever parsed from our own templates (Trusted Types).
    build.onLoad({ filter: /\.svelte$/ }, async ({ path }) =>
      answer(compile(await readFile(path, 'utf8'), { filename: path, generate: 'client', css: 'external', fragments: 'tree', runes: true })));
    // The one place where Svelte would turn a string into elements. With `tree` nothing calls it: so it is not there.
    build.onLoad({ filter: /[\\/]dom[\\/]reconciler\.js$/ }, () => ({
      contents: `const no = () => { throw new Error('no HTML from strings'); }; export { no as create_fragment_from_html, no as create_trusted_html };`,
    }));
    // Svelte's checks for developers: DEV becomes a constant (`define` below), so that esbuild can leave them out.
    build.onLoad({ filter: /[\\/]svelte[\\/]src[\\/].*\.js$/ }, async ({ path }) =>
      ({ contents: (await readFile(path, 'utf8')).replace(/^import \{[^}]+\} from 'esm-env';/m, ''), loader: 'js' }));
    build.onLoad({ filter: /src[\\/]\w+\.svelte\.js$/ }, async ({ path }) => answer(compileModule(await readFile(path, 'utf8'), { filename: path, generate: 'client' })));
  },
};

const hash = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 10);
const files = new Map();  // path below OUT → bytes

const hashed = (name, bytes) => {
  const dot = name.lastIndexOf('.');
  const path = `assets/${name.slice(0, dot)}-${hash(bytes)}${name.slice(dot)}`;
  files.set(path, bytes);
  return '/' + path;
};

const starter = await readFile(join(here, '../../packaging/starter.opml')).catch(() => null);
const names = { starter: starter ? hashed('starter.opml', starter) : '', icon: hashed('icon.png', png(192)), 'icon-large': hashed('icon.png', png(512)) };

const result = await esbuild.build({
  absWorkingDir: here,
  entryPoints: [join(source, 'main.js'), join(source, 'login.js'), join(source, 'style.css')],
  bundle: true,
  minify: true,
  write: false,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  outdir: '/',
  entryNames: 'assets/[name]-[hash]',
  chunkNames: 'assets/[name]-[hash]',
  splitting: true,   // the settings page comes when it is asked for
  metafile: true,
  nodePaths: [modules],
  conditions: ['svelte', 'browser', 'production'],
  mainFields: ['svelte', 'browser', 'module', 'main'],
  define: { WEIR_STARTER: JSON.stringify(names.starter), WEIR_ICON: JSON.stringify(names.icon), DEV: 'false', BROWSER: 'true' },
  plugins: [svelte],
  legalComments: 'none',
  logLevel: 'warning',
});
// esbuild's hashes cover what a file imports, too; said again as hex digits, which is how the server knows a name that never changes its content.
const hex = new Map(result.outputFiles.map((file) => [file.path.match(/-([A-Z0-9]{8})\.\w+$/)[1], hash(file.contents)]));
const renamed = (text) => text.replace(/(?<=-)[A-Z0-9]{8}(?=\.(?:js|css)\b)/g, (old) => hex.get(old) ?? old);
const outputs = new Map(Object.entries(result.metafile.outputs).map(([path, about]) =>
  [renamed(path.slice(path.indexOf('assets/'))), { ...about, imports: about.imports.map((one) => ({ ...one, path: renamed(one.path.slice(one.path.indexOf('assets/'))) })) }]));
for (const file of result.outputFiles) {
  const path = renamed(file.path.slice(1));
  const { entryPoint } = outputs.get(path);
  if (entryPoint) names[basename(entryPoint)] = '/' + path;
  files.set(path, Buffer.from(renamed(file.text)));
}
const scripts = [...files.keys()].filter((path) => path.endsWith('.js'));
for (const path of scripts)
  if (/innerHTML\s*=|createPolicy\((?!"weir")/.test(files.get(path))) throw new Error(`${path}: makes elements from a string`);

// What stands between a reader and the first list: the script with all that it imports at once.
const first = new Set();
const walk = (path) => {
  if (first.has(path)) return;
  first.add(path);
  for (const { path: next, kind } of outputs.get(path).imports) if (kind === 'import-statement') walk(next);
};
walk(names['main.js'].slice(1));
names.preload = [...first].slice(1).map((path) => `<link rel="modulepreload" href="/${path}">`).join('\n');

const size = [...first].reduce((sum, path) => sum + gzipSync(files.get(path), { level: 9 }).length, 0);
if (size > 50_000) {
  console.error('ui: the script is over its budget of 50 kB gzipped');
  process.exit(1);
}

// The pages name the assets as {{main.js}}; sw.js gets the list of what makes the shell, and a version that changes with it.
const shell = ['/', ...scripts.map((path) => '/' + path), names['style.css'], names.icon];
names.shell = JSON.stringify(shell);
names.version = hash(Buffer.from(shell.join()));
for (const page of ['index.html', 'login.html', 'sw.js', 'manifest.webmanifest', 'robots.txt']) {
  const text = await readFile(join(source, page), 'utf8');
  files.set(page, Buffer.from(text.replace(/\{\{([\w.-]+)\}\}/g, (all, name) => {
    if (!(name in names)) throw new Error(`${page}: ${all} is not an asset`);
    return names[name];
  })));
}
files.set('favicon.ico', ico());

await rm(out, { recursive: true, force: true });
await mkdir(join(out, 'assets'), { recursive: true });
for (const [path, bytes] of files) if (path !== 'index.html') await put(path, bytes);
await put('index.html', files.get('index.html'));   // last: a broken run leaves none
console.log(`ui: ${files.size} files, ${size} bytes of script gzipped`);

async function put(path, bytes) {
  if (/\.(html|js|css|webmanifest|opml)$/.test(path)) {
    await writeFile(join(out, path + '.br'), brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } }));
    await writeFile(join(out, path + '.gz'), gzipSync(bytes, { level: 9 }));
  }
  await writeFile(join(out, path), bytes);
}
