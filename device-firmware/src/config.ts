import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fromBase64, type Hex, isSenmlName, pointOfSpki, sha256, SLOT_SECONDS, toHex, utf8 } from "@msec/core";
import { parseTpmAddress } from "@msec/secure-element/tpm";
import { z } from "zod";
import { DeviceError } from "./errors.ts";

const hex = (bytes: number, what: string) =>
  z
    .string()
    .regex(new RegExp(`^0x[0-9a-fA-F]{${2 * bytes}}$`), `write ${what} as 0x and ${2 * bytes} hex digits`)
    .transform((s) => s.toLowerCase() as Hex);
const address = hex(20, "an address");
const whole = (min: number, max = Number.MAX_SAFE_INTEGER) => z.int().min(min).max(max);
const positive = z.number().positive();
const url = (protocols: RegExp, example: string) =>
  z
    .url({ protocol: protocols, error: `write a URL such as ${example}` })
    .refine(
      (u) => URL.canParse(u) && !new URL(u).username && !new URL(u).password,
      "keep user names and passwords out of URLs",
    );

const quantity = z.strictObject({
  name: z.string().refine(isSenmlName, "use A-Z a-z 0-9 - : . / _ with a letter or digit first (RFC 8428, 4.5.1)"),
  unit: z.string(),
  text: z.string(),
});

const replay = z.strictObject({
  kind: z.literal("replay"),
  file: z.string().min(1),
  /** Columns that together hold the time, joined by one space, and how to read them; everything is UTC. */
  time: z.strictObject({
    columns: z.array(z.string()).min(1),
    format: z.enum(["iso", "dd/mm/yyyy", "yyyy-mm-dd", "unix-s", "unix-ms"]),
  }),
  /** Header → quantity name. Left out: every column but time and `ignore`, under a safe name. */
  columns: z.record(z.string(), z.string()).optional(),
  ignore: z.array(z.string()).default([]),
  /** Numbers or texts that mark a missing value: never a reading. Empty cells never are one. */
  missing: z.array(z.string()).default([]),
  speed: z.union([positive, z.literal("max")]).default(1),
  /** Keep the file's times (FLAG.recorded) instead of stamping rows as they are replayed. */
  recorded: z.boolean().default(true),
  /** Mark the last pack with FLAG.end. */
  end: z.boolean().default(false),
});

const hwmon = z.strictObject({
  kind: z.literal("hwmon"),
  intervalSeconds: positive.default(10),
  root: z.string().default("/"),
});

const stream = z
  .strictObject({
    name: z.string().min(1),
    mode: z.enum(["open", "sealed", "dataset"]),
    slotSeconds: z.int().optional(),
    retainDays: whole(0).default(0),
    padCount: whole(1, 10_000).optional(),
    padBytes: whole(64, 49_124).optional(),
    holders: z.array(address).optional(),
    quantities: z.array(quantity).min(1).optional(),
    pack: z.strictObject({ maxReadings: whole(1, 10_000).default(100), maxSeconds: positive.default(60) }).prefault({}),
    driver: z.discriminatedUnion("kind", [replay, hwmon]),
  })
  .superRefine((s, context) => {
    const refuse = (path: string, message: string) => context.addIssue({ code: "custom", path: [path], message });
    if (s.mode === "dataset") {
      if ((s.slotSeconds ?? 0) !== 0) refuse("slotSeconds", "a data set has no slots: leave it out");
      if (s.driver.kind !== "replay" || !s.driver.recorded)
        refuse("driver", "a data set is a recorded replay: kind replay, recorded true");
    } else if (s.slotSeconds === undefined || !SLOT_SECONDS.includes(s.slotSeconds))
      refuse("slotSeconds", `choose one of ${SLOT_SECONDS.join(", ")}`);
    if (s.mode === "sealed") {
      if (s.padCount === undefined) refuse("padCount", "say how many readings every sealed pack holds");
      if (s.padBytes === undefined) refuse("padBytes", "say how many bytes every sealed pack takes");
      if (!s.holders?.length) refuse("holders", "name the companion databases that may hold the seed");
    } else {
      if (s.padCount !== undefined) refuse("padCount", "only sealed streams are padded: leave it out");
      if (s.padBytes !== undefined) refuse("padBytes", "only sealed streams are padded: leave it out");
      if (s.holders !== undefined) refuse("holders", "every member holds the seed of this stream: leave it out");
    }
  });

const tpmAddress = z.string().refine((text) => {
  try {
    return parseTpmAddress(text) !== undefined;
  } catch {
    return false;
  }
}, "name the TPM as device:/dev/tpmrm0, swtpm:path=SOCKET or swtpm:host=HOST,port=PORT");

const authority = z.base64().refine((text) => {
  try {
    return pointOfSpki(fromBase64(text)).length > 0;
  } catch {
    return false;
  }
}, "give the approved-firmware key as base64 of a DER SubjectPublicKeyInfo on P-256");

const element = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("software") }),
  z.strictObject({
    kind: z.literal("tpm"),
    tpm: tpmAddress,
    /** Whose signature makes an update able to sign with the key that is there. */
    authority,
  }),
]);

const schema = z
  .strictObject({
    name: z.string().min(1),
    dataDir: z.string().min(1),
    /** Where the signing key lives. Without a TPM the device is marked as software wherever it is shown. */
    element: element.default({ kind: "software" }),
    /** File of the 32-byte key that wraps every other key; `<dataDir>/wrap.key` if left out. */
    wrapKeyFile: z.string().min(1).optional(),
    ownerEpoch: whole(1, 0xffffffff),
    chain: z.strictObject({ chainId: whole(1), anchor: address }),
    committee: z.strictObject({
      members: z
        .array(
          z.strictObject({
            address,
            organisation: z.string().min(1),
            url: url(/^https?$/, "https://oracle.example:8443").transform((u) => u.replace(/\/+$/, "")),
          }),
        )
        .min(1),
    }),
    mqtt: z.strictObject({
      url: url(/^(mqtts?|wss?|tls|tcp)$/, "mqtts://broker.example:8883"),
      /** With a broker that takes client certificates: where they are issued, after attestation. The device needs a TPM. */
      tls: z
        .strictObject({
          /** PEM file of the one authority that broker and enrolment service are believed by. */
          ca: z.string().min(1),
          enrolment: url(/^https$/, "https://broker.example:8443").transform((u) => u.replace(/\/+$/, "")),
        })
        .optional(),
      /** Packs of a stream that may be on their way, sent and not yet receipted by f+1 organisations. */
      window: whole(1, 10_000).default(64),
      /** Seconds without progress before packs are sent again; doubles up to a minute. */
      resendSeconds: positive.default(5),
      /** Longest wait between two attempts to reach the broker, in seconds. */
      maxBackoffSeconds: positive.default(30),
    }),
    outbox: z.strictObject({ maxBytes: whole(1 << 17).default(256 * 1024 * 1024) }).prefault({}),
    /** Between two questions to an operator, in seconds. */
    pollSeconds: positive.default(2),
    /** Give up waiting for receipted packs to be anchored before a break; left out: wait for ever. */
    settleSeconds: positive.optional(),
    log: z
      .strictObject({ level: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info") })
      .prefault({}),
    statusSeconds: positive.default(10),
    streams: z.array(stream).min(1),
  })
  .superRefine((c, context) => {
    const distinct = (values: string[], path: (string | number)[], what: string) => {
      if (new Set(values.map((v) => v.toLowerCase())).size !== values.length)
        context.addIssue({ code: "custom", path, message: `${what} must be distinct` });
    };
    const { members } = c.committee;
    const refuse = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if (c.mqtt.tls && c.element.kind !== "tpm")
      refuse(["mqtt", "tls"], "certificates are issued after attestation only: this takes a device with a TPM");
    if (c.mqtt.tls && !/^(mqtts|wss|tls):/.test(c.mqtt.url))
      refuse(["mqtt", "url"], "with tls the URL begins with mqtts://");
    distinct(
      c.streams.map((s) => s.name),
      ["streams"],
      "the names of streams",
    );
    distinct(
      members.map((m) => m.address),
      ["committee", "members"],
      "members' addresses",
    );
    distinct(
      members.map((m) => m.organisation),
      ["committee", "members"],
      "members' organisations",
    );
    c.streams.forEach((s, i) => {
      for (const holder of s.holders ?? [])
        if (!members.some((m) => m.address === holder))
          context.addIssue({
            code: "custom",
            path: ["streams", i, "holders"],
            message: `${holder} is not a committee member`,
          });
    });
  });

/** `digest`: SHA-256 of the configuration as it was given and of the folder that its paths are taken from. */
export type Config = z.output<typeof schema> & { digest: Hex };
export type ConfigInput = z.input<typeof schema>;
export type StreamConfig = Config["streams"][number];
export type ReplayConfig = Extract<StreamConfig["driver"], { kind: "replay" }>;
export type HwmonConfig = Extract<StreamConfig["driver"], { kind: "hwmon" }>;
export type TpmConfig = Extract<Config["element"], { kind: "tpm" }>;
export type Member = Config["committee"]["members"][number];

/**
 * Checks a configuration and fills in defaults. Relative paths are taken from `base`. A {@link DeviceError} `config`
 * names every field that offends and what to write instead.
 */
export function parseConfig(input: unknown, base: string): Config {
  const result = schema.safeParse(input);
  if (!result.success) {
    const issues = result.error.issues.map((i) => `${i.path.join(".") || "the file"}: ${i.message}`);
    throw new DeviceError("config", `the configuration needs correcting: ${issues.join("; ")}`, issues);
  }
  const config = result.data;
  return {
    ...config,
    digest: toHex(sha256(utf8(JSON.stringify([input, resolve(base)])))),
    dataDir: resolve(base, config.dataDir),
    mqtt: {
      ...config.mqtt,
      ...(config.mqtt.tls && { tls: { ...config.mqtt.tls, ca: resolve(base, config.mqtt.tls.ca) } }),
    },
    ...(config.wrapKeyFile === undefined ? {} : { wrapKeyFile: resolve(base, config.wrapKeyFile) }),
    streams: config.streams.map((s) =>
      s.driver.kind === "replay" ? { ...s, driver: { ...s.driver, file: resolve(base, s.driver.file) } } : s,
    ),
  };
}

/** Reads the configuration of a device from a JSON file; its relative paths are taken from the file's folder. */
export async function readConfig(path: string): Promise<Config> {
  let input: unknown;
  try {
    input = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new DeviceError("config", `can't read ${path} as JSON: ${(error as Error).message}`, path, error);
  }
  return parseConfig(input, dirname(resolve(path)));
}
