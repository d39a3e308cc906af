/**
 * Shows control, direction and other invisible characters as `\uXXXX`, so that the text can be printed on any
 * terminal. Inside the strings of a JSON document the result is still the same JSON.
 */
export function escapeUnprintable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}

/** Hides `user:password@` in a URL or in text that holds one; greedy, because passwords hold anything. */
export function hideUserinfo(text: string, instead: string): string {
  return text.replace(/\/\/[^\s"]*@/g, `//${instead}@`)
}
