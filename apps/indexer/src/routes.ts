import { ProtocolError } from "@msec/core";
import { type Handler, Reply, type Routes } from "@msec/service";
import { z } from "zod";
import { problem } from "./shapes.ts";

/** One question that the API answers. */
export interface Route {
  /** Such as `/deals/{dealId}`. */
  path: string;
  summary: string;
  params: Record<string, z.ZodType>;
  query: z.ZodObject;
  answer: z.ZodType;
  /** undefined: there is no such thing. */
  handle(params: Record<string, string>, query: Record<string, unknown>): Promise<object | undefined>;
}

/** What can't be answered now, and soon can. */
export class NotYet extends Error {}

/** The same, typed by its shapes. */
export function route<Q extends z.ZodObject, A extends z.ZodType>(given: {
  path: string;
  summary: string;
  params?: Record<string, z.ZodType>;
  query?: Q;
  answer: A;
  handle(params: Record<string, string>, query: z.output<Q>): Promise<(z.input<A> & object) | undefined>;
}): Route {
  return { params: {}, query: z.strictObject({}), ...given } as unknown as Route;
}

function read<T extends z.ZodType>(shape: T, value: unknown, what: string): z.output<T> {
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const where = [what, ...(issue?.path ?? [])].join(" ");
  throw new ProtocolError("malformed", `${where}: ${issue?.message ?? "is wrong"}`);
}

export const handlers = (routes: readonly Route[]): Routes =>
  Object.fromEntries(
    routes.map((r): [string, Handler] => {
      const names = Object.keys(r.params);
      return [
        `GET ${r.path.replace(/\{\w+\}/g, ":")}`,
        async ({ params, query }) => {
          const given = Object.fromEntries(
            names.map((name, i) => [name, read(r.params[name] as z.ZodType, params[i], name) as string]),
          );
          let answer: object | undefined;
          try {
            answer = await r.handle(given, read(r.query, Object.fromEntries(query), "query"));
          } catch (error) {
            if (error instanceof NotYet) return new Reply(503, { code: "not-yet", message: error.message });
            throw error;
          }
          return answer ?? new Reply(404, { code: "not-found", message: `nothing is known of ${params.join(", ")}` });
        },
      ];
    }),
  );

/** The API as an OpenAPI 3.1 document. */
export function openapi(routes: readonly Route[], version: string): object {
  const json = (shape: z.ZodType, io: "input" | "output") => {
    const { $schema: _, ...schema } = z.toJSONSchema(shape, { io });
    return schema;
  };
  const body = (shape: z.ZodType, description: string) => ({
    description,
    content: { "application/json": { schema: json(shape, "output") } },
  });
  const paths = routes.map((r) => {
    const shape = json(r.query, "input") as { properties?: Record<string, object>; required?: string[] };
    const parameters = [
      ...Object.entries(r.params).map(([name, p]) => ({ name, in: "path", required: true, schema: json(p, "input") })),
      ...Object.entries(shape.properties ?? {}).map(([name, schema]) => ({
        name,
        in: "query",
        required: false,
        schema,
      })),
    ];
    const responses = {
      200: body(r.answer, "the answer"),
      400: body(problem, "what is wrong with the question"),
      ...(parameters.some((p) => p.in === "path") ? { 404: body(problem, "there is no such thing") } : {}),
    };
    return [r.path, { get: { summary: r.summary, parameters, responses } }];
  });
  return {
    openapi: "3.1.0",
    info: { title: "M-Sec city", version, description: "What the contracts of a city have said, from their events." },
    paths: Object.fromEntries(paths),
  };
}
