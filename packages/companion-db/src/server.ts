import pg from "pg";

/** A PostgreSQL server on which every process has a database of its own. */
export interface DatabaseServer {
  /** URL of one database; it is created if missing. */
  database(name: string): Promise<string>;
}

/** A server of one's own: `url` is any database that exists on it, with a role that may create others. */
export function ownServer(url: string, prefix: string): DatabaseServer {
  return {
    async database(name) {
      const wanted = new URL(url);
      wanted.pathname = `/${prefix}_${name}`;
      await createDatabase(url, `${prefix}_${name}`);
      return wanted.href;
    },
  };
}

/** Creates a database on the server of `url`, if it is missing. */
export async function createDatabase(url: string, name: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  try {
    await client.connect();
    const { rowCount } = await client.query("select 1 from pg_database where datname = $1", [name]);
    if (rowCount === 0) await client.query(`create database ${pg.escapeIdentifier(name)}`);
  } catch (error) {
    const { host, pathname } = new URL(url);
    throw new Error(
      `PostgreSQL at ${host}${pathname} gives no database ${name}: ${(error as Error).message}; its role must be able to log in and to create databases`,
    );
  } finally {
    await client.end().catch(() => undefined);
  }
}
