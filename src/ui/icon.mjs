// Draws Weir's mark: water going over three steps. No image file and no image library.
import { crc32 as nodeCrc, deflateSync } from 'node:zlib';

const WATER = [0x0b, 0x5d, 0x8a, 255];
const FOAM = [0xf4, 0xf8, 0xfa, 255];
const NONE = [0, 0, 0, 0];

// The colour at (x, y) in [0, 1)².
function colour(x, y) {
  const radius = 0.2;
  const dx = Math.max(radius - x, x - 1 + radius, 0), dy = Math.max(radius - y, y - 1 + radius, 0);
  if (Math.hypot(dx, dy) > radius) return NONE;
  for (const [left, top, length] of [[0.16, 0.24, 0.36], [0.32, 0.46, 0.36], [0.48, 0.68, 0.36]]) {
    if (y >= top && y < top + 0.09 && x >= left && x < left + length) return FOAM;       // the step
    if (x >= left + length - 0.09 && x < left + length && y >= top && y < top + 0.22 && y < 0.77) return FOAM;  // the fall
  }
  return WATER;
}

// Rows of RGBA, each pixel the mean of 4 × 4 samples.
function pixels(size) {
  const rows = Buffer.alloc(size * size * 4);
  for (let y = 0; y < size; y++)
    for (let x = 0; x < size; x++) {
      const sum = [0, 0, 0, 0];
      for (let i = 0; i < 16; i++) {
        const c = colour((x + (i % 4 + 0.5) / 4) / size, (y + (Math.floor(i / 4) + 0.5) / 4) / size);
        for (let k = 0; k < 3; k++) sum[k] += c[k] * c[3];
        sum[3] += c[3];
      }
      const at = (y * size + x) * 4;
      for (let k = 0; k < 3; k++) rows[at + k] = sum[3] ? Math.round(sum[k] / sum[3]) : 0;
      rows[at + 3] = Math.round(sum[3] / 16);
    }
  return rows;
}

function crc32(bytes) {
  if (nodeCrc) return nodeCrc(bytes);   // Node ≥ 20.15
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let k = 0; k < 8; k++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const head = Buffer.alloc(4), tail = Buffer.alloc(4);
  head.writeUInt32BE(data.length);
  tail.writeUInt32BE(crc32(body));
  return Buffer.concat([head, body, tail]);
}

export function png(size) {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(size, 0);
  header.writeUInt32BE(size, 4);
  header.set([8, 6, 0, 0, 0], 8);   // 8 bits, RGBA
  const rgba = pixels(size);
  const lines = Buffer.alloc(size * (size * 4 + 1));
  for (let y = 0; y < size; y++) rgba.copy(lines, y * (size * 4 + 1) + 1, y * size * 4, (y + 1) * size * 4);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header), chunk('IDAT', deflateSync(lines, { level: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

export function ico() {
  const image = png(32);
  const header = Buffer.alloc(22);
  header.set([0, 0, 1, 0, 1, 0, 32, 32, 0, 0, 1, 0, 32, 0]);
  header.writeUInt32LE(image.length, 14);
  header.writeUInt32LE(22, 18);
  return Buffer.concat([header, image]);
}
