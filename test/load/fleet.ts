import { generateKeyPairSync, type KeyObject, randomBytes } from "node:crypto";
import { Sender } from "@msec/chain";
import {
  consentDomain,
  deviceIdOfSoftware,
  encodeNodes,
  ENROL,
  fromHex,
  type Hex,
  HOLDERS,
  keyHash,
  MODE,
  rootNode,
  signTyped,
  streamId,
  type StreamPreimage,
  toBase64,
  toHex,
  ZERO32,
} from "@msec/core";
import { seedMessage } from "@msec/device";
import { es256 } from "@msec/secure-element";
import sodium from "libsodium-wrappers";
import { organisationId } from "../../apps/cli/src/city/layout.ts";
import type { City } from "../../apps/cli/src/city/up.ts";

/** A simulated device: one key, one open stream. */
export interface Device {
  key: KeyObject;
  spki: Uint8Array;
  preimage: StreamPreimage;
  streamId: Hex;
  seed: Uint8Array;
}

/** Gas limit of one enrolment: the P-256 check costs most of it. Thirty fit into a block of 30 million. */
const ENROL_GAS = 900_000;
const HOUR_MS = 3_600_000;

export function makeDevice(n: number): Device {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
  const preimage: StreamPreimage = {
    deviceId: deviceIdOfSoftware(spki),
    ownerEpoch: 1,
    name: `truck-${n}`,
    schema: {
      quantities: [
        { name: "CO", unit: "mg/m3", text: "Carbon monoxide" },
        { name: "T", unit: "Cel", text: "Temperature" },
      ],
      retainDays: 0,
      padCount: 0,
      padBytes: 0,
    },
    slotSeconds: 60,
    mode: MODE.open,
    salt: toHex(randomBytes(32)),
  };
  return { key: privateKey, spki, preimage, streamId: streamId(preimage), seed: new Uint8Array(randomBytes(32)) };
}

/** Enrols devices, all at once: one account signs consecutive nonces, the chain takes as many a block as fit. */
export async function enrol(city: City, devices: readonly Device[]): Promise<void> {
  const { DeviceRegistry } = city.contracts;
  const { chainId, addresses } = city.run.deployment;
  const { city: owner, deployer, registrars } = city.people;
  const domain = { name: "DeviceRegistry", chainId, verifyingContract: addresses.DeviceRegistry };
  const ordered = [...registrars].sort((a, b) => (a.address < b.address ? -1 : 1));
  const sender = new Sender(deployer.key, city.provider, chainId);
  const first = await sender.nonce();
  const signed = await Promise.all(
    devices.map(({ spki, preimage }, i) => {
      const enrolment = {
        deviceId: preimage.deviceId,
        ekHash: ZERO32,
        akName: ZERO32,
        keyAlg: 1,
        keyHash: keyHash(spki),
        owner: owner.address,
        organisation: organisationId("city"),
        policyId: ZERO32,
        evidenceDigest: ZERO32,
        nonce: 0n,
        deadline: Date.now() + HOUR_MS,
      };
      const signatures = [owner, ...ordered].map((who) => signTyped(fromHex(who.key), domain, ENROL, enrolment));
      const data = DeviceRegistry.interface.encodeFunctionData("enrol", [
        enrolment,
        toHex(spki),
        signatures[0] as Hex,
        signatures.slice(1),
      ]);
      return sender.sign({ to: addresses.DeviceRegistry, data, gasLimit: ENROL_GAS }, first + i);
    }),
  );
  for (const { raw } of signed) await sender.broadcast(raw);
  for (const { hash } of signed)
    if ((await sender.wait(hash)).status !== 1) throw new Error(`the enrolment ${hash} was reverted`);
}

/** Makes the devices' streams known to every operator and hands their seeds over, as a device does. */
export async function register(city: City, devices: readonly Device[]): Promise<void> {
  await sodium.ready;
  const { deployment, operators } = city.run;
  const domain = consentDomain(deployment.chainId, deployment.addresses.ConsentRegistry);
  const owner = fromHex(city.people.city.key);
  const holders = operators.map((o) => o.address);
  const sealKeys = await Promise.all(
    operators.map(async ({ url }) => {
      const info = (await (await fetch(`${url}/info`)).json()) as { sealKey: string };
      return Buffer.from(info.sealKey, "base64");
    }),
  );
  for (const device of devices) {
    const claim = { streamId: device.streamId, version: 1, holders };
    const registration = {
      preimage: device.preimage,
      keys: [{ keyEpoch: 1, spki: toBase64(device.spki) }],
      holders: claim,
      holdersSignature: signTyped(owner, domain, HOLDERS, claim),
    };
    await Promise.all(
      operators.map(async ({ url, address }, i) => {
        const sealed = sodium.crypto_box_seal(encodeNodes([rootNode(device.seed)]), sealKeys[i] as Uint8Array);
        await post(`${url}/streams`, registration);
        await post(`${url}/streams/${device.streamId}/seed`, {
          sealed: toBase64(sealed),
          keyEpoch: 1,
          signature: toBase64(es256(device.key, seedMessage(device.streamId, address, sealed))),
        });
      }),
    );
  }
}

async function post(url: string, body: unknown): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${text}`);
}
