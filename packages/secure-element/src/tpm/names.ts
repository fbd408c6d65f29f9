import { createHash } from "node:crypto";
import { encode } from "./codec.ts";
import { encodeNvPublic, encodePublic, hashName, type NvPublic, type PublicArea } from "./structures.ts";

export const digest = (alg: number, ...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash(hashName(alg));
  for (const part of parts) hash.update(part);
  return new Uint8Array(hash.digest());
};

const named = (alg: number, ...parts: Uint8Array[]) => encode((w) => w.u16(alg).bytes(digest(alg, ...parts)));

/** Name of an object: nameAlg ‖ H(TPMT_PUBLIC) (Part 1, 16). Always recomputed, never taken from a device. */
export const nameOf = (area: PublicArea): Uint8Array => named(area.nameAlg, encodePublic(area));

/** Name of an NV index. */
export const nvNameOf = (area: NvPublic): Uint8Array => named(area.nameAlg, encodeNvPublic(area));

/** Name of a hierarchy, PCR or session: its handle. */
export const handleName = (handle: number): Uint8Array => encode((w) => w.u32(handle));

/** Qualified name of an object: nameAlg ‖ H(the parent's qualified name ‖ its name); a hierarchy's is its handle. */
export const qualifiedNameOf = (parent: Uint8Array, area: PublicArea): Uint8Array =>
  named(area.nameAlg, parent, nameOf(area));
