// Prints the closing line "N passed, N failed" from JSON reports of the test runner. A test that several reports hold counts once: as
// failed where it failed in any, as passed where it passed in any.
//   node scripts/test-summary.mjs REPORT [FOLDER OF MORE]
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const [file, more] = process.argv.slice(2);
if (!file || !existsSync(file)) {
  console.error('The tests did not get far enough to write a report.');
  process.exit(1);
}
const others = more && existsSync(more) ? readdirSync(more).map((name) => path.join(more, name)) : [];
const reports = [file, ...others].map((name) => JSON.parse(readFileSync(name, 'utf8')));
/** Of outcomes, the one that counts comes first; whatever else a test may be is skipped. */
const RANKS = ['failed', 'passed', 'skipped'];
const outcomes = new Map();
function count(key, status) {
  const rank = RANKS.includes(status) ? RANKS.indexOf(status) : RANKS.length - 1;
  outcomes.set(key, Math.min(rank, outcomes.get(key) ?? rank));
}
for (const { testResults } of reports) {
  for (const { name, status, assertionResults } of testResults) {
    // several tests of a file may have one name
    const seen = new Map();
    for (const { fullName, status } of assertionResults) {
      const nth = (seen.get(fullName) ?? 0) + 1;
      seen.set(fullName, nth);
      count(`${name}\n${fullName}\n${nth}`, status);
    }
    // A file that crashes or does not load has no tests of its own to count, so it counts as one failure.
    if (status === 'failed' && !assertionResults.some((test) => test.status === 'failed')) count(name, status);
  }
}
const [failed = 0, passed = 0, skipped = 0] = RANKS.map(
  (_, rank) => [...outcomes.values()].filter((r) => r === rank).length,
);
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
if (failed > 0 || !reports.every((report) => report.success)) process.exit(1);
