export { type ErrorCode, type ErrorDetails, HyperBagelError } from './errors.js';
export { ERROR_CODES } from './generated/error-codes.js';
export * as ops from './generated/ops.js';
export { addonInfo } from './native/load.js';
export { Activity, Context, type ContextOptions, instructionSets, opContracts } from './tensor/context.js';
export { BYTES, type DataOf, DTYPES, type DType, fromBf16, toBf16 } from './tensor/dtype.js';
export { Program } from './tensor/program.js';
export { Tensor } from './tensor/tensor.js';
export { version } from './version.js';
