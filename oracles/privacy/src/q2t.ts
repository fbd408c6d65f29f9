import { z } from "zod";
import { base64, fromBase64, payloadKey, publicKey, toBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";
import { type Incoming, json, type Outgoing, type Routes, text } from "./http.ts";
import { type Distribution, type EncodedPayload, type Manager, type Received, type Sent } from "./manager.ts";
import { type PrivacyFlag } from "./payload.ts";

// The API of Tessera 24.4.2 as GoQuorum 24.4.1 and its tools call it: paths, fields, media types and statuses.

const OLDEST = "application/json";
const JSON_TYPES = [OLDEST, ...["2.1", "3.0", "4.0"].map((v) => `application/vnd.tessera-${v}+json`)];
const OCTETS = "application/octet-stream";
const API_VERSIONS = ["1.0", "2.0", "2.1", "3.0", "4.0"];
const LARGEST_PAYLOAD = 4 * 1024 * 1024;

/** A node writes a list that it has not as null. */
const list = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((items) => items ?? []);
/** A node leaves out a text that is empty; its tools may write it as null or "". */
const optional = <T extends z.ZodType<string>>(item: T) =>
  z
    .union([item, z.literal(""), z.null()])
    .optional()
    .transform((value) => value || undefined);

const payload = base64().refine((p) => p.length > 0, "the payload is empty");
const distribution = {
  to: list(publicKey),
  affectedContractTransactions: list(payloadKey),
  execHash: optional(base64()),
  privacyFlag: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]).default(0),
  mandatoryRecipients: list(publicKey),
};
const sendRequest = z.strictObject({ payload, from: optional(publicKey), ...distribution });
const signedRequest = z.strictObject({ hash: payloadKey, ...distribution });
const rawRequest = z.strictObject({ payload, from: optional(publicKey) });
const receiveRequest = z.strictObject({ key: payloadKey, to: optional(publicKey), isRaw: z.boolean().default(false) });
const encodedPayload = z.object({
  senderKey: publicKey,
  cipherText: base64(),
  cipherTextNonce: base64(),
  recipientBoxes: z.array(base64()).min(1),
  recipientNonce: base64(24),
  recipientKeys: z.array(publicKey),
});

function check<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0] as z.core.$ZodIssue;
  throw new PrivacyError(400, `${issue.path.join(".") || "the request"}: ${issue.message}`);
}

function parse<T extends z.ZodType>(schema: T, { type, body }: Incoming): z.infer<T> {
  if (!JSON_TYPES.includes(type))
    throw new PrivacyError(415, `${type || "no media type"} is not understood here: send ${JSON_TYPES.join(" or ")}`);
  let value: unknown;
  try {
    value = JSON.parse(body.toString("utf8"));
  } catch {
    throw new PrivacyError(400, "the request's body is not JSON");
  }
  return check(schema, value);
}

function bytesOf(encoded: string): Uint8Array {
  const bytes = fromBase64(encoded);
  checkSize(bytes);
  return bytes;
}

function checkSize(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new PrivacyError(400, "the payload is empty");
  if (bytes.length > LARGEST_PAYLOAD)
    throw new PrivacyError(413, `the payload has more than ${LARGEST_PAYLOAD / 1024 / 1024} MiB`);
}

const distributionOf = (request: z.infer<typeof sendRequest> | z.infer<typeof signedRequest>): Distribution => ({
  to: request.to,
  flag: request.privacyFlag as PrivacyFlag,
  execHash: request.execHash ?? "",
  affected: request.affectedContractTransactions,
  mandatory: request.mandatoryRecipients,
});

/** The oldest resource knows the key alone. */
const sent = (type: string, { key, sender, managedParties }: Sent): Outgoing =>
  json(201, type, type === OLDEST ? { key } : { key, managedParties, senderKey: sender });

function received(type: string, r: Received): Outgoing {
  const oldest = {
    payload: toBase64(r.payload),
    affectedContractTransactions: r.affected,
    execHash: r.execHash,
    privacyFlag: r.flag,
  };
  const body = type === OLDEST ? oldest : { ...oldest, managedParties: r.managedParties, senderKey: r.sender };
  return json(200, JSON_TYPES.includes(type) ? type : OLDEST, body);
}

const keysOfHeader = (value: string | string[] | undefined) =>
  String(value ?? "")
    .split(",")
    .filter((key) => key !== "")
    .map((key) => check(publicKey, key));

const NO_RULES = { flag: 0 as const, execHash: "", affected: [], mandatory: [] };

/** What both servers answer. */
function common(version: string, upcheck: () => Promise<void>): Routes {
  return {
    "GET /upcheck": async () => {
      await upcheck();
      return text(200, "I'm up!");
    },
    "GET /version": () => text(200, version),
    "GET /version/api": () => json(200, OLDEST, API_VERSIONS),
  };
}

function storing(manager: Manager): Routes {
  return {
    "POST /storeraw": async (request) => {
      const body = parse(rawRequest, request);
      return json(200, request.type, { key: await manager.storeRaw(bytesOf(body.payload), body.from) });
    },
  };
}

function keyLists(manager: Manager): Routes {
  const keys = (all: readonly string[]) => json(200, OLDEST, { keys: all.map((key) => ({ key })) });
  return {
    "GET /keys": () => keys(manager.ring.publicKeys),
    "GET /partyinfo/keys": () => keys(manager.parties.keys),
  };
}

/** A resident group: which of the manager's keys share one private state. */
export interface ResidentGroup {
  name: string;
  description: string;
  members: string[];
}

/** For the organisation's own node, on a socket or on loopback: whoever reaches it reads everything. */
export function q2tRoutes(
  manager: Manager,
  groups: readonly ResidentGroup[],
  version: string,
  upcheck: () => Promise<void>,
): Routes {
  const key = ({ params }: Incoming) => check(payloadKey, params[0]);
  return {
    ...common(version, upcheck),
    ...storing(manager),
    ...keyLists(manager),
    "POST /send": async (request) => {
      const body = parse(sendRequest, request);
      return sent(request.type, await manager.send(bytesOf(body.payload), body.from, distributionOf(body)));
    },
    "POST /sendraw": async ({ headers, type, body }) => {
      if (type !== OCTETS) throw new PrivacyError(415, `send ${OCTETS}`);
      checkSize(body);
      const [from] = keysOfHeader(headers["c11n-from"]);
      const to = keysOfHeader(headers["c11n-to"]);
      return text(200, (await manager.send(body, from, { to, ...NO_RULES })).key);
    },
    "POST /sendsignedtx": async (request) => {
      if (request.type === OCTETS) {
        const hash = check(payloadKey, toBase64(request.body));
        const to = keysOfHeader(request.headers["c11n-to"]);
        return text(200, (await manager.sendStored(hash, { to, ...NO_RULES })).key);
      }
      const body = parse(signedRequest, request);
      return sent(request.type, await manager.sendStored(body.hash, distributionOf(body)));
    },
    "GET /receive": async (request) => {
      const body = parse(receiveRequest, request);
      return received(
        request.accept,
        body.isRaw ? await manager.receiveRaw(body.key) : await manager.receive(body.key, body.to),
      );
    },
    "GET /transaction/:": async (request) => {
      const raw = request.query.get("isRaw")?.toLowerCase() === "true";
      const to = check(optional(publicKey), request.query.get("to") ?? undefined);
      return received(
        request.accept,
        raw ? await manager.receiveRaw(key(request)) : await manager.receive(key(request), to),
      );
    },
    "GET /transaction/:/isSender": async (request) => text(200, String(await manager.isSender(key(request)))),
    "GET /transaction/:/participants": async (request) =>
      text(200, (await manager.participants(key(request))).join(",")),
    "GET /transaction/:/mandatory": async (request) => text(200, (await manager.mandatory(key(request))).join(",")),
    "POST /encodedpayload/create": (request) => {
      const body = parse(sendRequest, request);
      const { flag, affected, execHash, mandatory } = distributionOf(body);
      if (flag !== 0 || affected.length > 0 || execHash !== "" || mandatory.length > 0)
        throw new PrivacyError(400, "what is only encoded has no contracts: leave out privacyFlag and all it needs");
      return json(200, request.type, manager.encode(bytesOf(body.payload), body.from, body.to));
    },
    "POST /encodedpayload/decrypt": (request) =>
      received(request.accept, manager.decode(parse(encodedPayload, request) satisfies EncodedPayload)),
    "GET /groups/resident": () =>
      json(
        200,
        OLDEST,
        groups.map(({ name, description, members }) => ({
          ...{ type: "RESIDENT", name, description, members },
          privacyGroupId: toBase64(Buffer.from(name)),
        })),
      ),
  };
}

/** For applications: they store a payload and learn keys, and read nothing. */
export function thirdPartyRoutes(manager: Manager, version: string, upcheck: () => Promise<void>): Routes {
  return { ...common(version, upcheck), ...storing(manager), ...keyLists(manager) };
}
