// The browser's own cleaning of article HTML: the second of three layers (the server's sanitiser before it, the Content-Security-Policy behind it), made
// to hold alone. Untrusted HTML is parsed into an inert document, and what is shown is rebuilt from an allow-list: no node and no attribute is ever taken
// over. The only maker of Trusted Types in the program.

const policy = globalThis.trustedTypes?.createPolicy('weir', {
  createHTML: (html) => html,   // goes to DOMParser below and nowhere else
  createScriptURL: (url) => {
    if (url !== '/sw.js') throw new TypeError('not a script of ours');
    return url;
  },
});

export function registerWorker() {
  return navigator.serviceWorker?.register(policy?.createScriptURL('/sw.js') ?? '/sw.js').catch(() => {});
}

const PLAIN = new Set(('p br hr a abbr b strong i em u s del ins mark small sub sup code pre kbd samp var q blockquote cite ul ol li dl dt dd figure ' +
  'figcaption table caption thead tbody tfoot tr th td details summary time bdi bdo ruby rt rp wbr div span').split(' '));
const GONE = new Set(('script style template noscript noembed noframes svg math head title textarea select option button input object embed applet ' +
  'base meta link frame frameset canvas map dialog slot portal xmp plaintext').split(' '));
const MEDIA = new Set(['iframe', 'video', 'audio']);   // shown as a link to what they would load
const MAX_DEPTH = 300, MAX_NODES = 20000;   // the server's own depth is 256

// A fragment of fresh elements. `base`: what relative addresses are relative to. `images`: false shows them as links. `label(kind, host)` names a link
// that stands for something left out. Never throws; what lies beyond the budget is left out.
export function clean(html, { base, images = true, label = (kind, host) => host } = {}) {
  const parsed = new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, 'text/html');
  const out = document.createDocumentFragment();
  const budget = { nodes: MAX_NODES, heading: 2 };
  const address = (text, mail = false) => webUrl(text, base, mail);

  const link = (href, kind) => {
    const a = element('a', { href, rel: 'noopener noreferrer', target: '_blank' });
    a.textContent = label(kind, new URL(href).host);
    return a;
  };

  const copy = (from, to, depth) => {
    for (let node = from.firstChild; node; node = node.nextSibling) {
      if (--budget.nodes < 0) return;
      if (node.nodeType === Node.TEXT_NODE) to.append(node.data);
      else if (node.nodeType === Node.ELEMENT_NODE) one(node, to, depth);
    }
  };

  const one = (node, to, depth) => {
    const name = node.localName;
    if (node.namespaceURI !== 'http://www.w3.org/1999/xhtml' || GONE.has(name)) return;
    if (name === 'img') return image(node, to);
    if (MEDIA.has(name)) {
      const href = address(node.getAttribute('src') ?? node.querySelector('source')?.getAttribute('src'));
      if (href) to.append(link(href, name));
      return;
    }
    if (depth > MAX_DEPTH) return;
    let made = null;
    if (/^h[1-6]$/.test(name)) {   // below the article's own heading, and without a gap
      const level = Math.min(Math.max(Number(name[1]) + 1, 3), budget.heading + 1, 6);
      budget.heading = level;
      made = element(`h${level}`);
    } else if (PLAIN.has(name)) {
      made = element(name);
      attributes(node, made);
    }
    if (made) to.append(made);
    copy(node, made ?? to, depth + 1);
  };

  const attributes = (node, made) => {
    const text = (name, shape) => {
      const value = node.getAttribute(name);
      if (value !== null && shape.test(value)) made.setAttribute(name, value);
    };
    text('lang', /^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$/);
    text('dir', /^(ltr|rtl|auto)$/i);
    switch (made.localName) {
      case 'a': {
        const href = address(node.getAttribute('href'), true);
        if (href) for (const [name, value] of Object.entries({ href, rel: 'noopener noreferrer', target: '_blank' })) made.setAttribute(name, value);
        break;
      }
      case 'td': case 'th':
        text('colspan', /^[1-9]\d{0,2}$/);
        text('rowspan', /^[1-9]\d{0,2}$/);
        break;
      case 'ol':
        text('start', /^-?\d{1,6}$/);
        if (node.hasAttribute('reversed')) made.setAttribute('reversed', '');
        break;
      case 'li': text('value', /^-?\d{1,6}$/); break;
      case 'time': text('datetime', /^[\dTZ:.+ PYMWDHS-]{1,40}$/); break;
      case 'abbr': text('title', /^[^<>]{1,200}$/); break;
    }
  };

  const image = (node, to) => {
    const src = address(node.getAttribute('src'));
    if (!src) return;
    const alt = (node.getAttribute('alt') ?? '').slice(0, 500);
    if (!images) {
      to.append(link(src, 'image'), ' ');
      return;
    }
    // loading and referrerpolicy stand before src: setting src is what starts a request.
    const made = element('img', { loading: 'lazy', decoding: 'async', referrerpolicy: 'no-referrer', alt });
    for (const name of ['width', 'height']) {
      const size = node.getAttribute(name) ?? '';
      if (/^\d{1,4}$/.test(size)) {
        if (Number(size) <= 2) return;   // a tracking pixel
        made.setAttribute(name, size);
      }
    }
    made.setAttribute('src', src);
    to.append(made);
  };

  copy(parsed.body, out, 0);
  mend(out);
  return out;
}

function element(name, attributes = {}) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function webUrl(text, base, mail) {
  if (!text) return '';
  try {
    const url = new URL(text, base || undefined);
    return url.protocol === 'https:' || url.protocol === 'http:' || (mail && url.protocol === 'mailto:') ? url.href : '';
  } catch {
    return '';
  }
}

// Puts right what assistive technology stumbles over: stray list items, lists with other children, links without a name, wide tables.
function mend(out) {
  for (const item of out.querySelectorAll('li')) if (!item.parentNode.matches?.('ul, ol')) rename(item, 'div');
  for (const item of out.querySelectorAll('dt, dd')) if (!item.parentNode.matches?.('dl')) rename(item, 'div');
  for (const list of out.querySelectorAll('ul, ol, dl')) {
    const allowed = list.localName === 'dl' ? 'dt, dd' : 'li';
    for (const child of [...list.childNodes]) {
      if (child.nodeType === Node.TEXT_NODE && !child.data.trim()) continue;
      if (child.nodeType === Node.ELEMENT_NODE && child.matches(allowed)) continue;
      const item = element(list.localName === 'dl' ? 'dd' : 'li');
      child.replaceWith(item);
      item.append(child);
    }
    if (!list.firstElementChild) list.remove();
    else if (list.localName === 'dl' && list.firstElementChild.localName !== 'dt') for (const item of [...list.children]) rename(item, 'div');
  }
  for (const list of out.querySelectorAll('dl')) if (!list.querySelector(':scope > dt')) rename(list, 'div');
  for (const item of out.querySelectorAll('summary')) if (!item.parentNode.matches?.('details') || item !== item.parentNode.querySelector('summary')) rename(item, 'p');
  for (const item of out.querySelectorAll('details')) if (!item.querySelector(':scope > summary')) rename(item, 'div');
  for (const a of out.querySelectorAll('a[href]'))
    if (!a.textContent.trim() && !a.querySelector('img[alt]:not([alt=""])')) a.setAttribute('aria-label', new URL(a.href).host || a.getAttribute('href'));
  for (const a of out.querySelectorAll('a a')) a.replaceWith(...a.childNodes);
  for (const table of out.querySelectorAll('table')) {
    const frame = element('div', { class: 'wide', tabindex: '0', role: 'group' });
    table.replaceWith(frame);
    frame.append(table);
  }
}

function rename(node, name) {
  const made = element(name);
  made.append(...node.childNodes);
  node.replaceWith(made);
}
