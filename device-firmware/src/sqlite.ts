import type * as Sqlite from "node:sqlite";

/** node:sqlite without the notice that Node prints once when it is loaded; every other warning passes. */
function load(): typeof Sqlite {
  const { emitWarning } = process;
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (rest[0] === "ExperimentalWarning" && String(warning).startsWith("SQLite")) return;
    (emitWarning as (...args: unknown[]) => void).call(process, warning, ...rest);
  }) as typeof process.emitWarning;
  try {
    return process.getBuiltinModule("node:sqlite");
  } finally {
    process.emitWarning = emitWarning;
  }
}

export const { DatabaseSync } = load();
export type Database = Sqlite.DatabaseSync;
export type Statement = Sqlite.StatementSync;
