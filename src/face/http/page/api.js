// @ts-check
// Requests to the service. Every address is relative to the page, so that it works behind any path prefix.

import { Num } from './text.js';

/** A refusal of the service, or that there was no answer. */
export class Problem extends Error {
  /** @param {number} status 0 without an answer @param {string} kind @param {string} detail @param {any} [body] */
  constructor(status, kind, detail, body) {
    super(detail);
    this.status = status;
    this.kind = kind;
    this.body = body;
  }

  /** The way out that the service names. */
  get hint() { return this.body?.hint ? String(this.body.hint) : ''; }
}

/** Whether this browser tells how a number was written. */
export const isExact = (() => {
  let told = false;
  // @ts-ignore: the third parameter is younger than the types.
  JSON.parse('1', (_key, value, context) => { told = context?.source === '1'; return value; });
  return told;
})();

/** Reads JSON, and keeps numbers as they were written. @param {string} text */
export function parse(text) {
  // @ts-ignore: as above.
  return JSON.parse(text, (_key, value, context) => {
    if (typeof value !== 'number' || !context?.source || String(value) === context.source) return value;
    return new Num(context.source);
  });
}

/** @param {Record<string, any>} params */
export function query(params) {
  const pairs = Object.entries(params).filter(([, value]) => value !== undefined && value !== null && value !== '' && value !== false);
  const text = pairs.map(([name, value]) => `${name}=${encodeURIComponent(value === true ? 'true' : String(value))}`).join('&');
  return text ? `?${text}` : '';
}

/** An address below `api/`, each part encoded. @param {...any} parts */
export const path = (...parts) => parts.map((part) => encodeURIComponent(String(part))).join('/');

/**
 * @param {string} method @param {string} address relative, such as `api/queue?state=ready`
 * @param {any} [body] a text is sent as it is
 * @param {{signal?: AbortSignal, also?: number[], tag?: string}} [options] statuses that are answers too; the version that is changed
 */
async function ask(method, address, body, { signal, also = [], tag } = {}) {
  let response;
  let text;
  try {
    /** @type {Record<string, string>} */
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    if (tag) headers['if-match'] = tag;
    const sent = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    response = await fetch(address, { method, headers, body: sent, signal, credentials: 'same-origin', redirect: 'error' });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, 'unreachable', 'the service does not answer');
  }
  let data;
  try {
    data = parse(text);
  } catch {
    data = text;
  }
  if (response.ok || also.includes(response.status)) return { data, tag: response.headers.get('etag') ?? '' };
  const { kind = 'failed', detail = `the service answered with status ${response.status}` } = data ?? {};
  throw new Problem(response.status, String(kind), String(detail), data);
}

/** Answers that were asked for before anything was there to show them. @type {Map<string, Promise<any>>} */
const asked = new Map();
/** Asks for an answer that is taken soon. @param {string} address @param {{also?: number[]}} [options] */
export function ahead(address, options) {
  const answer = ask('GET', address, undefined, options);
  // The taker sees that it failed.
  answer.catch(() => {});
  asked.set(address, answer);
}
/** Lets go of what nobody has taken, because it grows old. */
export const notAhead = () => asked.clear();

/** @param {string} address @param {{signal?: AbortSignal, also?: number[]}} [options] */
export async function get(address, options) {
  const early = asked.get(address);
  asked.delete(address);
  return (await (early ?? ask('GET', address, undefined, options))).data;
}
/** The answer and its version. @param {string} address */
export const tagged = (address) => ask('GET', address);
/** @param {string} address */
export const post = async (address, body = {}) => (await ask('POST', address, body)).data;
/** @param {string} address @param {string} text JSON @param {string} tag the version that it replaces; any if it is empty */
export const put = async (address, text, tag) => (await ask('PUT', address, text, { tag })).data;
/** @param {string} address */
export const remove = async (address) => (await ask('DELETE', address)).data;
