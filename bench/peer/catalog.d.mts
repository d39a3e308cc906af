export const containerRange: string
export function addressOf(number: number): string
