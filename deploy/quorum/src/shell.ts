/** A word of a POSIX shell, whatever it holds. */
export const quoted = (word: string): string => `'${word.replaceAll("'", `'\\''`)}'`;
