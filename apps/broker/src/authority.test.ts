import { execFileSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { certificatesIn, certificationRequest } from "@msec/broker";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Authority, readRequest } from "./authority.ts";

let root: string;
let folder: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "msec-authority-"));
  folder = join(root, "authority");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const subject = `0x${"ab".repeat(32)}`;
const HOUR = 3600;

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    key: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
  };
}

/** OpenSSL's word on a certificate; a list of revoked ones is asked for where it is given. */
function verify(authority: Authority, certificate: string, list?: string): string {
  const [trusted, one] = [join(root, "trusted.pem"), join(root, "one.pem")];
  writeFileSync(trusted, authority.pem + (list ?? ""));
  writeFileSync(one, certificate);
  try {
    const check = list === undefined ? [] : ["-crl_check"];
    return execFileSync("openssl", ["verify", ...check, "-CAfile", trusted, one], { stdio: "pipe" }).toString();
  } catch (error) {
    return String((error as { stderr?: Buffer }).stderr);
  }
}

test("a request goes in, and a certificate comes out that OpenSSL takes", async () => {
  const authority = await Authority.open(folder, "test");
  const { key, spki } = newKey();
  const asked = await readRequest(certificationRequest(subject, key));
  expect(asked).toEqual({ name: subject, spki });
  const { message } = await authority.issue(asked.name, asked.spki, HOUR, Date.now());
  const [pem] = certificatesIn(message) as [string];
  expect(verify(authority, pem)).toMatch(/: OK/);
  const certificate = new X509Certificate(pem);
  expect(certificate.subject).toBe(`CN=${subject}`);
  expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2"]);
  expect(certificate.publicKey.equals(createPublicKey(key))).toBe(true);
  expect(Date.parse(certificate.validTo)).toBeLessThanOrEqual(Date.now() + HOUR * 1000);
});

test("no changed byte makes a request another one", async () => {
  const { key, spki } = newKey();
  const request = certificationRequest(subject, key);
  for (let at = 0; at < request.length; at++) {
    const changed = request.slice();
    changed[at] = (changed[at] as number) ^ 1;
    // What names the signature's algorithm is outside what is signed.
    const read = await readRequest(changed).catch(() => undefined);
    if (read) expect(read, `byte ${at}`).toEqual({ name: subject, spki });
  }
  await expect(readRequest(new Uint8Array(3))).rejects.toThrow();
  expect(() => certificatesIn(new Uint8Array(3))).toThrow(/holds no certificates/);
});

test("revoked is in the list, under a number that rises, also after a restart; what is over is forgotten", async () => {
  const authority = await Authority.open(folder, "test");
  const [a, b] = [await authority.issue(subject, newKey().spki, HOUR, Date.now()), newKey()];
  const other = await authority.issue(`0x${"cd".repeat(32)}`, b.spki, HOUR, Date.now());
  expect(await authority.revoke((one) => one.subject === subject, Date.now())).toEqual([subject]);
  expect(await authority.revoke((one) => one.subject === subject, Date.now())).toEqual([]);
  const again = await Authority.open(folder, "test");
  expect(again.pem).toBe(authority.pem);
  const list = await again.revocationList(Date.now());
  expect(verify(again, a.certificate.toString("pem"), list)).toMatch(/revoked/);
  expect(verify(again, other.certificate.toString("pem"), list)).toMatch(/: OK/);
  expect(again.valid(Date.now()).map((one) => one.subject)).toEqual([`0x${"cd".repeat(32)}`]);
  const number = (pem: string) => {
    const file = join(root, "list.pem");
    writeFileSync(file, pem);
    return Number(execFileSync("openssl", ["crl", "-in", file, "-noout", "-crlnumber"]).toString().split("=0x")[1]);
  };
  expect(number(await again.revocationList(Date.now()))).toBeGreaterThan(number(list));
  const late = Date.now() + 3 * 86_400_000;
  await again.issue(subject, newKey().spki, HOUR, late);
  const ledger = JSON.parse(readFileSync(join(folder, "issued.json"), "utf8")) as { issued: unknown[] };
  expect(ledger.issued.length).toBe(1);
});

test("a half of an authority is never completed with a new one", async () => {
  await Authority.open(folder, "test");
  rmSync(join(folder, "ca.sealed"));
  await expect(Authority.open(folder, "test")).rejects.toThrow(/only half of an authority/);
});

test("its key lies sealed, for its owner alone", async () => {
  await Authority.open(folder, "test");
  const file = join(folder, "ca.sealed");
  expect(statSync(file).mode & 0o077).toBe(0);
  expect(readFileSync(file).includes(Buffer.from("2a8648ce3d030107", "hex"))).toBe(false);
});
