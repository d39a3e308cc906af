import type { HaproxySockets } from '../haproxy/worker.ts'
import { explain, parseQuestion } from '../model/explain.ts'
import type { Decision, RenderSettings, Running } from '../types.ts'
import { type ExplainView, explanationView } from './explanation.ts'
import { compareLive } from './live.ts'

/** Which route takes a request, why, and with `live` whether the running HAProxy agrees. Never rejects. */
export async function explainRequest(
  { decision, running }: { readonly decision: Decision; readonly running: Running | null },
  settings: HaproxySockets & Pick<RenderSettings, 'paths'>,
  request: { readonly url: string; readonly method: string; readonly live: boolean },
): Promise<ExplainView> {
  const question = parseQuestion(request.url, request.method)
  const explanation = explain(decision.model, question, settings.paths)
  const compared = request.live ? await compareLive(settings, question, explanation) : null
  return explanationView(explanation, decision, running, compared)
}
