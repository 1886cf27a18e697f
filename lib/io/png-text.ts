import { crc32 } from 'node:zlib';
import { HyperBagelError } from '../errors.js';

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
/** The header chunk, which comes first: length, type, 13 bytes, checksum. */
const HEADER_BYTES = 25;

/**
 * Adds text chunks behind the header of an encoded PNG: tEXt for ASCII, iTXt for other text (readers disagree on Latin-1).
 *
 * @param text by keyword, which is 1 to 79 printable ASCII characters
 * @throws HyperBagelError BAD_OPTION for a keyword that PNG cannot hold, BAD_IMAGE when the bytes are no PNG
 */
export function addPngText(png: Uint8Array, text: Readonly<Record<string, string>>): Buffer {
  const start = SIGNATURE.length + HEADER_BYTES;
  if (png.length < start || !SIGNATURE.equals(png.subarray(0, SIGNATURE.length))) {
    throw new HyperBagelError('BAD_IMAGE', 'not a PNG');
  }
  const chunks = Object.entries(text).map(([keyword, value]) => {
    if (!/^[!-~](?:[ -~]{0,77}[!-~])?$/.test(keyword)) {
      throw new HyperBagelError(
        'BAD_OPTION',
        `a PNG keyword is 1 to 79 ASCII characters, got ${JSON.stringify(keyword)}`,
        {
          operand: 'text',
          got: keyword,
        },
      );
    }
    const isAscii = /^[\n -~]*$/.test(value);
    // iTXt: not compressed, no language, no translated keyword
    return isAscii
      ? chunk('tEXt', Buffer.from(`${keyword}\0${value}`, 'latin1'))
      : chunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(value, 'utf8')]));
  });
  return Buffer.concat([png.subarray(0, start), ...chunks, png.subarray(start)]);
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}
