import { FIRMWARE_COUNTER } from "./boot.ts";
import { SecureElementError } from "./errors.ts";
import { HANDLES, NV, type NvIndex, nvNameOf, type Tpm } from "./tpm/index.ts";

/** The lowest version of the firmware that the TPM allows: what its counter shows. Made where there is none yet. */
export async function firmwareCounter(tpm: Tpm): Promise<number> {
  return valueOf(tpm, await made(tpm));
}

/** Ends every version before this one. */
export async function raiseFirmwareCounter(tpm: Tpm, version: number): Promise<void> {
  const counter = await made(tpm);
  for (let value = await valueOf(tpm, counter); value < version; value++) await tpm.nvIncrement(counter);
}

async function made(tpm: Tpm): Promise<NvIndex> {
  const { index, attributes } = FIRMWARE_COUNTER;
  const known = (await tpm.handles(HANDLES.NV)).includes(index);
  let counter = known
    ? await tpm.nvReadPublic(index)
    : await tpm.nvDefine({ ...FIRMWARE_COUNTER, attributes: attributes & ~NV.WRITTEN });
  if (!(counter.area.attributes & NV.WRITTEN)) {
    await tpm.nvIncrement(counter);
    counter = await tpm.nvReadPublic(index);
  }
  if (Buffer.compare(counter.name, nvNameOf(FIRMWARE_COUNTER)) === 0) return counter;
  throw new SecureElementError(
    "firmware",
    `NV index 0x${index.toString(16)} of the TPM is not the counter of firmware versions: remove what else is kept there`,
    counter.area.attributes,
  );
}

async function valueOf(tpm: Tpm, counter: NvIndex): Promise<number> {
  return Number(Buffer.from(await tpm.nvRead(counter)).readBigUInt64BE());
}
