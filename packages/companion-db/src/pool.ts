import pg from "pg";

/** Connections to one database. Numbers of 64 bits come back as text, so that none is rounded. */
export function connect(databaseUrl: string, max = 8): pg.Pool {
  const pool = new pg.Pool({ connectionString: databaseUrl, max });
  pool.on("error", () => {
    // A connection that breaks while idle is replaced by the next query, which reports a server that stays away.
  });
  return pool;
}

/** Runs `work` in one transaction; anything thrown rolls it back. */
export async function transaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const result = await work(client);
    await client.query("commit");
    return result;
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  } finally {
    client.release();
  }
}
