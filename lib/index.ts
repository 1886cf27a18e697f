export { type ErrorCode, type ErrorDetails, HyperBagelError } from './errors.js';
export { ERROR_CODES } from './generated/error-codes.js';
export { addonInfo } from './native/load.js';
export { version } from './version.js';
