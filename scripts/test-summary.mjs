// Prints the closing line "N passed, N failed" from the test runner's JSON report.
import { existsSync, readFileSync } from 'node:fs';

const file = process.argv[2];
if (!file || !existsSync(file)) {
  console.error('The tests did not get far enough to write a report.');
  process.exit(1);
}
const report = JSON.parse(readFileSync(file, 'utf8'));
// A file that crashes or does not load has no tests of its own to count, so it counts as one failure.
const brokenFiles = report.testResults.filter(
  (result) => result.status === 'failed' && !result.assertionResults.some((test) => test.status === 'failed'),
).length;
const skipped = report.numPendingTests + report.numTodoTests;
const failed = report.numFailedTests + brokenFiles;
console.log(`${report.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
if (failed > 0 || !report.success) process.exit(1);
