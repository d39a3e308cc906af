export function findChromium(): string | null
export function findPromtool(): string | null
export function findPrometheus(): string | null
export function findCompose(): readonly [string, ...string[]] | null
