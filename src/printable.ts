/**
 * Shows control, direction and other invisible characters as `\uXXXX`, so that the text can be printed on any
 * terminal. Inside the strings of a JSON document the result is still the same JSON.
 */
export function escapeUnprintable(text: string): string {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal or a log
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Hides `user:password@` in a URL or in text that holds one; greedy, because passwords hold anything. */
export function hideUserinfo(text: string, instead: string): string {
  return text.replace(/\/\/[^\s"]*@/g, `//${instead}@`)
}
