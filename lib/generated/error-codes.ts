// Made by `npm run gen` from csrc/core/error_codes.def. Do not edit.

/** Stable codes of {@link HyperBagelError}. */
export const ERROR_CODES = [
  'BAD_DTYPE',
  'BAD_SHAPE',
  'BAD_DEVICE',
  'BAD_OPTION',
  'BAD_IMAGE',
  'BAD_MODEL',
  'NOT_SUPPORTED',
  'OUT_OF_MEMORY',
  'CONTEXT_FULL',
  'BUSY',
  'DISPOSED',
  'BACKEND_MISSING',
  'DEVICE_LOST',
  'CANCELLED',
  'IO',
  'INTERNAL',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];
