import { once } from "node:events";
import { connect } from "node:net";

const TPM_RC_SUCCESS = 0;

/** TPM2_Clear under the platform's empty authorization, as a board's firmware does it; `tpm` as `swtpm:path=SOCKET`. */
export async function clearTpm(tpm: string): Promise<void> {
  const socket = connect({ path: tpm.slice("swtpm:path=".length) });
  await once(socket, "connect");
  const password = "40000009" + "0000" + "00" + "0000";
  const body = "00000126" + "4000000c" + "00000009" + password;
  socket.write(Buffer.from(`8002${(6 + body.length / 2).toString(16).padStart(8, "0")}${body}`, "hex"));
  const [answer] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  const code = answer.readUInt32BE(6);
  if (code !== TPM_RC_SUCCESS) throw new Error(`the TPM was not cleared: 0x${code.toString(16)}`);
}
