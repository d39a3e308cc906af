export interface TestReport {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
  readonly testResults: readonly {
    readonly status: string
    readonly assertionResults: readonly { readonly status: string }[]
  }[]
}

export function figures(
  report: TestReport | null,
  run: { readonly exitCode: number; readonly isCi: boolean; readonly failedSteps: number },
): { readonly passed: number; readonly failed: number; readonly skipped: number }
