import { readFile } from "node:fs/promises";
import { ask, CertificateHolder, deviceCredentials, refusedCertificate } from "@msec/broker";
import { cborDecode, cborEncode, sha256 } from "@msec/core";
import { type SecureElement, TpmElement } from "@msec/secure-element";
import { confirmationMessage, decodeChallenge, encodeAnswer, encodeEvidence } from "@msec/secure-element/attestation";
import type { IClientOptions } from "mqtt";
import type { Logger } from "pino";
import type { Config } from "./config.ts";
import { DeviceError, errorFields } from "./errors.ts";

/** How the device shows a broker who it is. */
export interface BrokerAccess {
  /** Options of the next connection, and when to ask for others while it stands. */
  next(): Promise<{ options: IClientOptions; againAtMs?: number }>;
  /** Told why a connection failed. */
  failed(why: unknown): void;
}

/** By a statement under the device's key for each connection, or by a client certificate that it gets by attestation. */
export async function brokerAccess(config: Config["mqtt"], element: SecureElement, log: Logger): Promise<BrokerAccess> {
  const { tls, url } = config;
  const clientId = element.deviceId;
  if (!tls)
    return {
      next: async () => ({ options: { clientId, protocolVersion: 4, ...(await deviceCredentials(element, url)) } }),
      failed: () => undefined,
    };
  if (!(element instanceof TpmElement))
    throw new DeviceError("config", "mqtt.tls: certificates are issued to devices with a TPM only");
  const server = { url: tls.enrolment, ca: await readAuthority(tls.ca) };
  const holder = new CertificateHolder({
    server,
    name: clientId,
    authorization: async (spki) => `Bearer ${Buffer.from(await attest(element, server, spki)).toString("base64url")}`,
    onError: (error) => log.warn(errorFields(error), "the client certificate could not be renewed yet"),
  });
  return {
    next: async () => {
      const { cert, key, againAtMs } = await holder.access();
      return { options: { clientId, protocolVersion: 5, ca: server.ca, cert, key }, againAtMs };
    },
    failed: (why) => {
      if (refusedCertificate(why)) holder.discard();
    },
  };
}

/** An attestation result, fresh, for a key of this program. */
export async function attest(
  element: TpmElement,
  server: { url: string; ca: string },
  spki: Uint8Array,
): Promise<Uint8Array> {
  const type = "application/cbor";
  const asked = await ask(server, {
    path: "/attestation/challenge",
    type,
    body: encodeEvidence(await element.evidence("current")),
  });
  const [, id, bytes] = cborDecode(asked) as [number, Uint8Array, Uint8Array];
  const challenge = decodeChallenge(Uint8Array.from(bytes));
  const answer = await element.answer(challenge, "current");
  const signature = await element.sign(confirmationMessage(challenge.nonce, sha256(spki)));
  const body = cborEncode([1, Uint8Array.from(id), encodeAnswer(answer), spki, signature]);
  return ask(server, { path: "/attestation/result", type, body });
}

async function readAuthority(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new DeviceError(
      "config",
      `mqtt.tls.ca: can't read ${file}: fetch it from whoever runs the broker`,
      file,
      error,
    );
  }
}
