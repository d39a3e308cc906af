import { describe, expect, it } from 'vitest'
import { figures, type TestReport } from '../../scripts/figures.mjs'

const locally = { exitCode: 0, isCi: false, failedSteps: 0 }
const green: TestReport = {
  numPassedTests: 3,
  numFailedTests: 0,
  numPendingTests: 0,
  numTodoTests: 0,
  testResults: [{ status: 'passed', assertionResults: [{ status: 'passed' }] }],
}

describe('the figures of a test run', () => {
  it('are those of vitest when all went well', () => {
    expect(figures(green, locally)).toEqual({ passed: 3, failed: 0, skipped: 0 })
  })

  it('count a file that failed outside its tests as one failure', () => {
    const testResults = [...green.testResults, { status: 'failed', assertionResults: [] }]
    expect(figures({ ...green, testResults }, { ...locally, exitCode: 1 }).failed).toBe(1)
  })

  it('count a failed test once', () => {
    const testResults = [{ status: 'failed', assertionResults: [{ status: 'failed' }] }]
    expect(figures({ ...green, numFailedTests: 1, testResults }, { ...locally, exitCode: 1 }).failed).toBe(1)
  })

  it('have a failure when the run failed and no test did', () => {
    expect(figures(green, { ...locally, exitCode: 1 }).failed).toBe(1)
  })

  it('have a failure when there is no report or no test passed', () => {
    expect(figures(null, { ...locally, exitCode: 1 })).toEqual({ passed: 0, failed: 1, skipped: 0 })
    expect(figures({ ...green, numPassedTests: 0 }, locally).failed).toBe(1)
  })

  it('have skipped tests among the failures in CI only', () => {
    const skipping = { ...green, numPendingTests: 2, numTodoTests: 1 }
    expect(figures(skipping, locally)).toEqual({ passed: 3, failed: 0, skipped: 3 })
    expect(figures(skipping, { ...locally, isCi: true }).failed).toBe(3)
  })

  it('have each failed step besides the tests among the failures', () => {
    expect(figures(green, { ...locally, failedSteps: 2 }).failed).toBe(2)
  })
})
