// @ts-check
// Asks for what the first line of the page needs, while the modules that show it are still on their way.

import { ahead } from './api.js';

export const PULSE = 'api/pulse';
export const ME = 'api/me';
export const STATUS = 'api/disaster-recovery/status';
export const READY = 'readyz';
/** A service that is not ready says why. */
export const NOT_READY = { also: [503] };

ahead(PULSE);
ahead(ME);
if (/^#?\/?(now)?$/.test(location.hash)) {
  ahead(STATUS);
  ahead(READY, NOT_READY);
}
