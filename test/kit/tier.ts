/**
 * Whether this run is of the full tier (`HB_TEST_FULL=1`); one of the quick tier prints what it leaves out. A file of tests that calls it
 * belongs to the full tier: `scripts/full-tier.mjs` finds it by this call and reads its first argument, a number as it stands.
 *
 * @param _seconds the file takes in the full tier on 2 cores, its start included
 * @param left what the quick tier leaves out
 */
export function fullTier(_seconds: number, left: string): boolean {
  const full = process.env.HB_TEST_FULL === '1';
  if (!full) console.log(`left to the full tier: ${left}`);
  return full;
}
