import { expect, test } from "vitest";
import { type ConfigInput, parseConfig } from "./config.ts";

const address = (i: number) => `0x${String(i).padStart(40, "0")}`;
const good = (): ConfigInput => ({
  name: "gateway",
  dataDir: "data",
  ownerEpoch: 1,
  chain: { chainId: 31337, anchor: address(9) },
  committee: { members: [{ address: address(1), organisation: "a", url: "https://a.example/x/" }] },
  mqtt: { url: "mqtts://broker.example" },
  streams: [
    {
      name: "air",
      mode: "open",
      slotSeconds: 60,
      driver: { kind: "replay", file: "air.csv", time: { columns: ["t"], format: "iso" } },
    },
  ],
});
const message = (change: (config: ReturnType<typeof good>) => void): string => {
  const config = good();
  change(config);
  try {
    parseConfig(config, "/base");
  } catch (error) {
    return (error as Error).message;
  }
  return "accepted";
};

test("defaults, and paths beside the file", () => {
  const config = parseConfig(good(), "/base");
  expect(config.dataDir).toBe("/base/data");
  expect(config.committee.members[0]?.url).toBe("https://a.example/x");
  expect(config.mqtt).toMatchObject({ window: 64 });
  expect(config.streams[0]?.driver).toMatchObject({ file: "/base/air.csv", speed: 1, recorded: true, end: false });
});

test("every refusal names the field and what to write", () => {
  expect(message((c) => (c.chain.anchor = "0x12"))).toMatch(/chain\.anchor: write an address as 0x and 40 hex digits/);
  expect(message((c) => (c.mqtt.url = "mqtt://me:secret@broker"))).toMatch(
    /mqtt\.url: keep user names and passwords out/,
  );
  expect(message((c) => (c.streams[0]!.slotSeconds = 7))).toMatch(/streams\.0\.slotSeconds: choose one of 1, 10, 60/);
  expect(message((c) => (c.streams[0]!.mode = "sealed"))).toMatch(
    /padCount: say how many.*holders: name the companion/,
  );
  expect(message((c) => (c.streams[0]!.mode = "dataset"))).toMatch(/a data set has no slots/);
  expect(message((c) => (c.streams[0]!.holders = [address(1)]))).toMatch(/holders: every member holds the seed/);
  expect(message((c) => c.streams.push(c.streams[0]!))).toMatch(/names of streams must be distinct/);
  expect(message((c) => ((c as { extra?: number }).extra = 1))).toMatch(/extra/);
  expect(message((c) => (c.streams[0]!.quantities = [{ name: "CO (GT)", unit: "", text: "" }]))).toMatch(/A-Z a-z 0-9/);
});

test("a password is not repeated in a refusal", () => {
  expect(message((c) => (c.mqtt = { url: "mqtt://me:secret@broker" }))).not.toMatch(/secret/);
});

test("client certificates take a TPM and a URL with TLS", () => {
  const tls = { ca: "ca.crt", enrolment: "https://broker.example:8443/" };
  const refusal = message((c) => (c.mqtt = { url: "mqtt://broker.example", tls }));
  expect(refusal).toMatch(/mqtt\.tls: .*a device with a TPM/);
  expect(refusal).toMatch(/mqtt\.url: with tls the URL begins with mqtts/);
  expect(message((c) => (c.mqtt = { url: "mqtts://b", tls: { ...tls, enrolment: "http://b" } }))).toMatch(/enrolment/);
});
