export function contrasts(): readonly { readonly text: string; readonly ratio: number }[]
export function overflowing(): readonly string[]
export function moving(): readonly string[]
export function injected(): readonly string[]
export function openAll(): void
