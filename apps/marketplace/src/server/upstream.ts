import "server-only";

const WAIT_MS = 30_000;

/** An answer that names what was refused, as every service of the city gives it. */
export const refusal = (status: number, code: string, message: string) =>
  Response.json({ code, message }, { status, headers: { "cache-control": "no-store" } });

/** Hands a request on to a service of the city, and its answer back. */
export async function forward(url: string, request: Request, what: string): Promise<Response> {
  try {
    const body = request.method === "GET" ? undefined : await request.arrayBuffer();
    const answer = await fetch(url, {
      method: request.method,
      ...(body ? { body, headers: { "content-type": "application/json" } } : {}),
      signal: AbortSignal.timeout(WAIT_MS),
      redirect: "error",
      cache: "no-store",
    });
    return new Response(answer.body, {
      status: answer.status,
      headers: {
        "content-type": answer.headers.get("content-type") ?? "application/json",
        "cache-control": "no-store",
      },
    });
  } catch (error) {
    const slow = (error as Error).name === "TimeoutError";
    return refusal(slow ? 504 : 502, "away", `${what} ${slow ? "answers too slowly" : "does not answer"}`);
  }
}
