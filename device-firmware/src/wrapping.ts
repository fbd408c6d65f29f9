import { randomBytes } from "node:crypto";
import { open, readdir, readFile, rm } from "node:fs/promises";
import { fromBase64, fromHex, toBase64, toHex } from "@msec/core";
import { type SealedSecret, SecureElementError, type TpmElement, WrapKey, writeFileAtomic } from "@msec/secure-element";
import type { Config } from "./config.ts";
import { DeviceError } from "./errors.ts";

/** The wrapping key as it rests with a TPM: JSON, mode 0600, all but the format in base64. */
interface Sealed {
  format: "msec.wrap.tpm/1";
  booted: string;
  publicArea: string;
  private: string;
  /** Digest of the configuration that `init` took, wrapped under the key, so that nobody else can write one. */
  configuration: string;
}

const CONFIGURATION = "configuration";

interface Files {
  /** Where the key lies in clear, on a device without a TPM or one that was founded before its key was sealed. */
  wrapKey: string;
  sealedWrapKey: string;
  streams: string;
}

/**
 * The wrapping key of a device with a TPM, which gives it back only to what may sign. A key that still lies in a file is
 * sealed first and its file destroyed; whatever is cut off on the way goes on at the next start. A configuration that
 * `init` did not take is refused: whoever has the disk could name other operators, who would be given the keys.
 */
export async function openSealedWrap(element: TpmElement, config: Config, at: Files): Promise<WrapKey> {
  const known = await readSealed(at.sealedWrapKey);
  if (!known) {
    const plain = await readPlain(at.wrapKey);
    if (!plain) throw missing(at.sealedWrapKey);
    await seal(element, plain, config, at);
    return WrapKey.of(plain);
  }
  const key = await element.unseal(sealedOf(known));
  const wrap = WrapKey.of(key);
  const digest = wrap.unwrap(fromBase64(known.configuration), CONFIGURATION);
  if (toHex(digest) !== config.digest)
    throw new DeviceError(
      "config",
      "the configuration is not the one that init took: undo the change, or run init to take it",
      config.digest,
    );
  await destroyPlain(at.wrapKey, key);
  return wrap;
}

/** The same for `init`, which takes the configuration as it is, and makes the key while nothing is wrapped under one. */
export async function takeSealedWrap(element: TpmElement, config: Config, at: Files): Promise<WrapKey> {
  const known = await readSealed(at.sealedWrapKey);
  const wrapped = (await readdir(at.streams)).some((name) => name.endsWith(".keys"));
  const key = known ? await element.unseal(sealedOf(known)) : await readPlain(at.wrapKey);
  if (!key && wrapped) throw missing(at.sealedWrapKey);
  const used = key ?? new Uint8Array(randomBytes(32));
  await seal(element, used, config, at);
  return WrapKey.of(used);
}

async function seal(element: TpmElement, key: Uint8Array, config: Config, at: Files): Promise<void> {
  const wrap = WrapKey.of(key);
  const sealed = await element.seal(key);
  // Nothing is destroyed before the TPM has shown that it gives the key back.
  if (Buffer.compare(await element.unseal(sealed), key) !== 0)
    throw new SecureElementError("key-damaged", "the TPM does not give back what it sealed: don't use this TPM");
  const file: Sealed = {
    format: "msec.wrap.tpm/1",
    booted: toBase64(sealed.booted),
    publicArea: toBase64(sealed.publicArea),
    private: toBase64(sealed.private),
    configuration: toBase64(wrap.wrap(fromHex(config.digest, 32), CONFIGURATION)),
  };
  await writeFileAtomic(at.sealedWrapKey, `${JSON.stringify(file, undefined, 2)}\n`);
  await destroyPlain(at.wrapKey, key);
}

const missing = (path: string) =>
  new SecureElementError("key-missing", `there is no sealed wrapping key at ${path}: run init, or restore it`, path);

async function readSealed(path: string): Promise<Sealed | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const sealed = JSON.parse(text) as Sealed;
    if (sealed.format !== "msec.wrap.tpm/1") throw new Error("format");
    sealedOf(sealed);
    fromBase64(sealed.configuration);
    return sealed;
  } catch (error) {
    throw new SecureElementError(
      "key-damaged",
      `${path} is not a sealed wrapping key of this version: restore it`,
      path,
      error,
    );
  }
}

const sealedOf = ({ booted, publicArea, private: own }: Sealed): SealedSecret => ({
  booted: fromBase64(booted),
  publicArea: fromBase64(publicArea),
  private: fromBase64(own),
});

async function readPlain(path: string): Promise<Uint8Array | undefined> {
  try {
    await WrapKey.open(path);
  } catch (error) {
    if (error instanceof SecureElementError && error.code === "key-missing") return undefined;
    throw error;
  }
  return new Uint8Array(await readFile(path));
}

/** Overwrites and removes a key file whose key is sealed by now; another key's is left alone. */
async function destroyPlain(path: string, key: Uint8Array): Promise<void> {
  const plain = await readFile(path).catch(() => undefined);
  if (!plain || Buffer.compare(plain, key) !== 0) return;
  const file = await open(path, "r+");
  try {
    await file.write(Buffer.alloc(plain.length), 0, plain.length, 0);
    await file.sync();
  } finally {
    await file.close();
  }
  await rm(path);
}
