/** What a node answered to one request. */
export type Answer = { result: unknown } | { error: { code: number; message: string; data?: unknown } };

const TIMEOUT_MS = 10_000;
const LARGEST_ANSWER = 16 * 1024 * 1024;

/**
 * Asks a node several things at once. Throws where it is away, takes longer than ten seconds, or answers more than
 * 16 MiB.
 */
export async function askNode(url: string, requests: { method: string; params: unknown }[]): Promise<Answer[]> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(requests.map((request, id) => ({ jsonrpc: "2.0", id, ...request }))),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of response.body as unknown as AsyncIterable<Uint8Array>) {
    length += part.length;
    if (length > LARGEST_ANSWER) throw new Error("the answer is larger than 16 MiB: ask for less at once");
    parts.push(part);
  }
  const answers = JSON.parse(Buffer.concat(parts).toString("utf8")) as ({ id: number } & Answer)[];
  const byId = new Map(answers.map(({ id, ...answer }) => [id, answer]));
  return requests.map((_, id) => {
    const answer = byId.get(id) as Answer | undefined;
    if (!answer) throw new Error("the node left a request without an answer");
    return "error" in answer ? { error: answer.error } : { result: answer.result };
  });
}
