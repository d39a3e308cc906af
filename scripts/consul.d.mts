export function ensureConsul(options: { readonly build: boolean }): Promise<string | null>
export function withLock<T>(path: string, work: () => Promise<T>): Promise<T>
