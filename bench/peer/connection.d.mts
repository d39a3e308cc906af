export function parseAnswer(
  text: string,
): { readonly status: number; readonly body: string; readonly isLast: boolean } | null
