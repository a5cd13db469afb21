// @ts-check
// Templates. One with several roots becomes one element, because Preact may put the roots of a group in a wrong order.

import { h, html as template } from './preact.js';

/** @param {TemplateStringsArray} strings @param {...any} values @returns {any} */
export function html(strings, ...values) {
  const made = template(strings, ...values);
  return Array.isArray(made) ? h('span', { class: 'many' }, ...made) : made;
}
