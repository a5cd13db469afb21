// @ts-check
// Texts, numbers and times as people read them. The texts of bots stay texts: no character of it is obeyed.

/** A number that JavaScript cannot hold as it was written. */
export class Num {
  /** @param {string} text */
  constructor(text) { this.text = text; }
  toString() { return this.text; }
}

/** Longer texts are cut, with a button for the rest. */
export const LONG = 64 * 1024;

const HIDDEN = /[\p{Cc}\p{Cs}\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]/gu;

/**
 * The parts of a text: plain ones, and escapes of characters that would be obeyed or shown as nothing.
 * @param {string} text @param {boolean} lines whether line ends and tabs stay as they are
 * @returns {(string | {escape: string})[]}
 */
export function pieces(text, lines) {
  /** @type {(string | {escape: string})[]} */
  const found = [];
  let from = 0;
  for (const match of text.matchAll(HIDDEN)) {
    const char = match[0];
    if (lines && (char === '\n' || char === '\t')) continue;
    if (match.index > from) found.push(text.slice(from, match.index));
    found.push({ escape: escapeOf(char) });
    from = match.index + char.length;
  }
  if (from < text.length) found.push(text.slice(from));
  return found;
}

/** @param {string} char */
function escapeOf(char) {
  const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '\0': '\\0' };
  return short[char] ?? `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`;
}

/** The same as one text. @param {string} text */
export const shown = (text) => pieces(text, false).map((part) => (typeof part === 'string' ? part : part.escape)).join('');

/**
 * A value as JSON, numbers as they were written.
 * @param {string} [indent] line by line from this indent on; in one line without it
 * @returns {string}
 */
export function json(value, indent) {
  if (value instanceof Num) return value.text;
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null';
  const isList = Array.isArray(value);
  const inner = indent === undefined ? undefined : indent + '  ';
  const items = isList
    ? value.map((item) => json(item, inner))
    : Object.keys(value).map((key) => `${JSON.stringify(key)}: ${json(value[key], inner)}`);
  const [open, close] = isList ? '[]' : '{}';
  if (items.length === 0) return open + close;
  return indent === undefined
    ? open + items.join(', ') + close
    : `${open}\n${inner}${items.join(`,\n${inner}`)}\n${indent}${close}`;
}

/** A value in one line, cut. @param {number} [most] */
export function line(value, most = 120) {
  const text = typeof value === 'string' ? value : json(value);
  return text.length > most ? `${text.slice(0, most)}…` : text;
}
export const same = (a, b) => a === b || json(a) === json(b);

/** A count with its digits in groups. */
export const n = (count) => String(count ?? 0).replace(/^(-?\d+)/, (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ','));

/** `1 task`, `3 tasks`. @param {string} word @param {string} [plural] */
export const counted = (count, word, plural = `${word}s`) => `${n(count)} ${String(count) === '1' ? word : plural}`;

export function size(bytes) {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [left, unit] = [Number(bytes), 0];
  while (left >= 1024 && unit < 4) [left, unit] = [left / 1024, unit + 1];
  return unit === 0 ? counted(bytes, 'byte') : `${left < 10 ? left.toFixed(1) : Math.round(left)} ${units[unit]}`;
}

/** A length of time, rounded down to one unit. @param {number} ms */
export function span(ms) {
  const s = Math.abs(ms) / 1000;
  if (s < 60) return `${Math.floor(s)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 2 * 86400) return `${Math.floor(s / 3600)} h`;
  return `${Math.floor(s / 86400)} days`;
}

/** @param {string} time @param {number} now */
export function ago(time, now) {
  const past = now - Date.parse(time);
  if (Math.abs(past) < 1000) return 'just now';
  return past < 0 ? `in ${span(past)}` : `${span(past)} ago`;
}

/** A time in UTC, to the second. @param {string} time */
export const utc = (time) => `${time.slice(0, 10)} ${time.slice(11, 19)}Z`;

/** The clock of a time, with its day unless that is today. @param {string} time @param {number} now */
export function clock(time, now) {
  const [day, rest] = [time.slice(0, 10), time.slice(11, 19)];
  return day === new Date(now).toISOString().slice(0, 10) ? `${rest}Z` : `${day} ${rest}Z`;
}

/** A word of a shell command, with quotes where they are needed. @param {string} word */
export function quoted(word) {
  return /^[\w.:/+,@%=-]+$/.test(word) ? word : `'${shown(word).replaceAll("'", "'\\''")}'`;
}
