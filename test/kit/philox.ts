/** The high 32 bits of a 32 x 32 bit product. */
function highProduct(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const middle = a1 * b0 + ((a0 * b0) >>> 16);
  const other = a0 * b1 + (middle % 0x10000);
  return (a1 * b1 + Math.floor(middle / 0x10000) + Math.floor(other / 0x10000)) >>> 0;
}

type Words = [number, number, number, number];

/** Philox4x32 with 10 rounds, from the paper of Salmon et al. (2011). All words are unsigned 32-bit. */
export function philox(key: readonly [number, number], counter: Readonly<Words>): Words {
  let [k0, k1] = [key[0] >>> 0, key[1] >>> 0];
  let [c0, c1, c2, c3] = counter.map((c) => c >>> 0) as Words;
  for (let round = 0; round < 10; round++) {
    const n0 = (highProduct(c2, 0xcd9e8d57) ^ c1 ^ k0) >>> 0;
    const n2 = (highProduct(c0, 0xd2511f53) ^ c3 ^ k1) >>> 0;
    c1 = Math.imul(c2, 0xcd9e8d57) >>> 0;
    c3 = Math.imul(c0, 0xd2511f53) >>> 0;
    c0 = n0;
    c2 = n2;
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** -log U, U = (w + 0.5) 2^-32; through log1p of 1 - U above one half, where U itself has lost the digits. */
export function exponential(w: number): number {
  return w < 0x80000000 ? -Math.log((w + 0.5) / 0x100000000) : -Math.log1p(-((0xffffffff - w + 0.5) / 0x100000000));
}
