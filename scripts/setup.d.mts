export class SetupError extends Error {}
export function requireNode(version?: string): void
export function findProgram(name: string, folders?: readonly string[]): string | null
export function ensureDependencies(folder?: string): Promise<void>
