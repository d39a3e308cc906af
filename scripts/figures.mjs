// What a test run came to, from vitest's JSON report.

/**
 * Counts of a run. A file that fails outside its tests (it does not load, a hook throws) is one failure, so is a run that
 * fails without naming a test (an error nobody caught, no tests at all). Skipped tests fail where nobody looks: in CI.
 */
export function figures(report, { exitCode, isCi, failedSteps }) {
  const files = report?.testResults ?? []
  const broken = files.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  )
  const passed = report?.numPassedTests ?? 0
  const skipped = (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0)
  const named = (report?.numFailedTests ?? 0) + broken.length
  const unnamed = named === 0 && (exitCode !== 0 || passed === 0) ? 1 : 0
  return { passed, failed: named + unnamed + failedSteps + (isCi ? skipped : 0), skipped }
}
