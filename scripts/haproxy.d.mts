export const supported: readonly string[]
export function haproxyVersion(path: string): { readonly version: string; readonly release: string } | null
export function missingHaproxy(release: string): string
