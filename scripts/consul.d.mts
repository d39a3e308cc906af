export function ensureConsul(options: { readonly build: boolean }): Promise<string | null>
