import { bytes32, streamPreimage } from "@msec/service";
import { z } from "zod";

// What the API takes and gives; the document at /openapi.json is made of these.

export const address = z.string().regex(/^0x[0-9a-f]{40}$/, "expected 0x and 40 lower-case hex digits");
const uint = z.int().min(0);
const amount = z.string().regex(/^\d+$/).describe("whole number of the token's smallest unit");
const fields = z.record(z.string(), z.json()).describe("by the names of the contract's interface");
const flag = z.enum(["true", "false"]).transform((text) => text === "true");

/** Where the chain says it. */
const origin = { block: uint, tx: bytes32, at: uint.describe("Unix seconds of the block") };

export const page = {
  limit: z.coerce.number().int().min(1).max(500).default(50),
  before: z.coerce.number().int().min(0).optional().describe("the `next` of the page before"),
};

export const description = streamPreimage
  .nullable()
  .describe("what hashes to the stream's id; null while no operator has told it");

const text = z.string();
/** As in packages/core, thing.ts. */
export const thing = z
  .object({
    title: text,
    place: z
      .object({
        latitude: z.number().min(-90).max(90),
        longitude: z.number().min(-180).max(180),
        altitude: z.number().optional(),
        accuracy: z.number().optional(),
        name: text.optional(),
      })
      .optional(),
    model: text.optional(),
    calibration: z.object({ date: text, note: text.optional() }).optional(),
    sample: z.object({ fromSlot: uint, toSlot: uint }).optional().describe("slots that anybody may open"),
  })
  .nullable()
  .describe("where and with what it is measured, as its owner signed it; null where nothing is said");
const ms = uint.nullable();
/** What operators tell of a stream. */
const measured = z
  .object({ fromMs: ms, toMs: ms, anchoredAtMs: ms.describe("when the epoch of its newest pack closed") })
  .describe("as operators tell it");

export const offer = z.object({
  offerId: bytes32,
  streamId: bytes32,
  seller: address,
  open: z.boolean(),
  stream: fields,
  terms: fields,
  description,
  assurance: uint.nullable().describe("of the device, as in IDeviceRegistry"),
  thing,
  measured,
  score: z
    .number()
    .min(0)
    .max(100)
    .nullable()
    .describe("of the seller: percent that buyers give for quality, the lower bound; null where none has rated"),
  ...origin,
});
const box = z
  .string()
  .regex(/^-?\d{1,3}(\.\d{1,9})?(,-?\d{1,3}(\.\d{1,9})?){3}$/, "expected west,south,east,north in degrees")
  .refine((given) => {
    const [west, south, east, north] = given.split(",").map(Number) as [number, number, number, number];
    return west <= east && south <= north;
  }, "west lies east of east, or south north of north");
const time = z.coerce.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
const facets = {
  stream: bytes32.optional(),
  seller: address.optional(),
  open: flag.optional(),
  mode: z.coerce.number().int().min(0).max(2).optional(),
  assurance: z.coerce.number().int().min(0).max(2).optional(),
  text: z.string().max(100).optional().describe("in the stream's name or quantities"),
  mostPrice: amount.optional().describe("of a reading or sealed pack"),
  where: box.optional().describe("west,south,east,north: what stands in this box"),
  from: time.optional().describe("Unix ms: what has readings since then"),
  to: time.optional().describe("Unix ms: what has readings before then"),
  fresh: time.optional().describe("seconds: what was anchored within the last of them"),
  leastScore: z.coerce.number().min(0).max(100).optional().describe("of the seller"),
};
export const offerQuery = z.strictObject({ ...facets, ...page });

const { open: _, ...openFacets } = facets;
export const placesQuery = z.strictObject(openFacets);
export const place = z.object({
  streamId: bytes32,
  name: text.describe("of the stream"),
  latitude: z.number().min(-90).max(90),
  longitude: z.number().min(-180).max(180),
  accuracy: z.number().nullable(),
  place: text.nullable().describe("what people call it"),
  mode: uint,
  offers: uint.describe("open ones that fit"),
  leastPrice: amount,
});
export const places = z.object({
  items: z.array(place),
  more: z.boolean().describe("there are others: ask for less"),
  elsewhere: uint.describe("streams on offer of which no place is known"),
});

export const stream = z.object({ streamId: bytes32, description: streamPreimage, thing, measured });

export const event = z.object({
  contract: z.string(),
  name: z.string(),
  args: fields,
  index: uint.describe("of the log in its block"),
  ...origin,
});
export const eventQuery = z.strictObject({
  contract: z.string().optional(),
  name: z.string().optional(),
  ...page,
});

const dealState = z.enum(["funded", "delivered", "released", "refunded", "disputed", "resolved"]);
export const deal = z.object({
  dealId: bytes32,
  buyer: address,
  seller: address,
  deliverer: address,
  streamId: bytes32,
  state: dealState,
  refund: uint.nullable().describe("why the price came back, as in IEscrow"),
  deal: fields,
  nodes: z.array(fields),
  ...origin,
});
export const dealQuery = z.strictObject({
  buyer: address.optional(),
  seller: address.optional(),
  deliverer: address.optional(),
  stream: bytes32.optional(),
  state: dealState.optional(),
  ...page,
});

export const complaint = z.object({
  dealId: bytes32,
  complaint: bytes32.describe("digest of what the buyer complains of"),
  stake: amount.describe("the judges', whatever they rule"),
  panel: uint,
  seats: z.array(
    z.object({
      member: address,
      organisation: bytes32,
      mayJudge: z.boolean().describe("false: a party of the deal is of the organisation"),
      committed: z.boolean(),
      perMille: uint.max(1000).nullable().describe("the vote, once it was shown: how much goes back to the buyer"),
    }),
  ),
  open: z.boolean(),
  ...origin,
});
export const complaintQuery = z.strictObject({ open: flag.optional(), ...page });

export const subscription = z.object({
  subscriptionId: bytes32,
  buyer: address,
  deliverer: address,
  terms: fields,
  deposit: amount,
  batches: uint.describe("delivered so far"),
  ended: uint.nullable().describe("why, as in ISubscription; null while it runs"),
  ...origin,
});
export const subscriptionQuery = z.strictObject({
  buyer: address.optional(),
  deliverer: address.optional(),
  ...page,
});

export const device = z.object({
  deviceId: bytes32,
  owner: address,
  organisation: bytes32,
  assurance: uint.describe("1 software, 2 TPM"),
  status: uint.describe("1 active, 2 suspended, 3 quarantined, 4 retired"),
  keyEpoch: uint,
  attestedAtMs: uint.nullable(),
  ...origin,
});
export const deviceQuery = z.strictObject({
  owner: address.optional(),
  status: z.coerce.number().int().min(0).max(4).optional(),
  ...page,
});

export const grant = z.object({
  streamId: bytes32,
  purpose: bytes32,
  grantee: address.describe("zeros: anyone"),
  fromMs: amount,
  untilMs: amount,
  standing: z.boolean().describe("neither withdrawn nor replaced; its time may be over"),
  ...origin,
});
export const grantQuery = z.strictObject({ stream: bytes32.optional(), grantee: address.optional(), ...page });

export const erasure = z.object({
  streamId: bytes32,
  number: uint,
  fromSlot: uint,
  toSlot: uint,
  completeAtMs: uint.nullable().describe("when all holders had shown that the keys are destroyed"),
  ...origin,
});
export const erasureQuery = z.strictObject({ stream: bytes32.optional(), ...page });

export const epoch = z.object({ number: uint, epochHash: bytes32, packs: uint, readings: uint, ...origin });
export const epochQuery = z.strictObject({ number: z.coerce.number().int().min(0).optional(), ...page });

export const status = z.object({
  healthy: z.boolean(),
  problems: z.array(z.string()),
  chainId: uint,
  chainHead: uint.describe("newest block of the chain when it was last asked"),
  block: uint.describe("everything up to here is in the answers"),
  caughtUpAtMs: uint,
  events: uint,
});

const verdict = z
  .enum(["holds", "broken", "unknown"])
  .describe("unknown: could not be evaluated; never taken for holding");
const difference = z.object({ where: z.string(), what: z.string(), expected: z.unknown(), found: z.unknown() });
export const audit = z.object({
  block: uint.describe("the one block after which all but code was read"),
  blockHash: bytes32,
  at: uint.describe("Unix seconds of the block"),
  evaluatedAtMs: uint,
  milliseconds: uint.describe("that the evaluation took"),
  codeBlock: uint.describe("the block after which code was compared, at most a minute before"),
  contracts: z.array(
    z.object({
      name: z.string(),
      source: z.string(),
      address,
      verdict: verdict.describe("its code, immutables and creation against this repository's build and the manifest"),
      reason: z.string().nullable(),
      compiler: z.string().nullable(),
      deployedIn: z.object({ block: uint, tx: bytes32 }).nullable(),
      differences: z.array(difference),
    }),
  ),
  access: z
    .object({
      roles: z.array(
        z.object({
          id: z.string(),
          name: z.string(),
          admin: z.string(),
          guardian: z.string(),
          grantDelay: uint.describe("seconds between granting and holding"),
          members: z.array(
            z.object({ account: address, delay: uint.describe("seconds between scheduling and executing") }),
          ),
        }),
      ),
      functions: z.array(
        z.object({ contract: z.string(), selector: z.string(), signature: z.string().nullable(), role: z.string() }),
      ),
      targets: z.array(z.object({ contract: z.string(), closed: z.boolean(), adminDelay: uint })),
      modules: z.array(z.object({ name: z.string(), address, version: uint, codehash: bytes32 })),
      paused: z.record(z.string(), z.boolean().nullable()),
    })
    .nullable()
    .describe("who may do what now, what is named and paused; null if it could not be read"),
  accessDifferences: z
    .array(difference)
    .nullable()
    .describe("from the manifest and the table of roles; null if there is no manifest to compare with"),
  invariants: z.array(
    z.object({
      id: z.string().describe("docs/auditing.md says what each demands"),
      subject: z.string().nullable().describe("of which token"),
      verdict,
      reason: z.string().nullable(),
      figures: z.array(z.object({ name: z.string(), value: z.string(), unit: z.enum(["amount", "count", "hash"]) })),
      events: z.array(z.string()).describe("that were added up"),
      calls: z
        .array(z.object({ contract: z.string(), call: z.string(), to: address, data: z.string(), result: z.string() }))
        .describe("eth_call at the block, for a node of one's own"),
      callsTotal: uint.describe("with those that are not listed"),
    }),
  ),
});
export const problem = z.object({ code: z.string(), message: z.string() });
