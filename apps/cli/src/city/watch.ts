import { type ChainProvider, Sender } from "@msec/chain";
import { parseConfig, paths } from "@msec/device";
import { connectService } from "@msec/secure-element";
import { Loops, readJson } from "@msec/service";
import { Attestation, type Registry, sendInOrder, VALID_MS } from "./attestation.ts";
import { type EnrolledDevice } from "./devices.ts";
import { type Account, type Layout } from "./layout.ts";

const LOOK_MS = 2_000;
const ACTIVE = 1n;

/**
 * Attests the devices again for as long as the city runs: whenever a TPM has started anew, and well before the last
 * attestation ends, since the operators hold back what they get of a device that is not attested. A quote is sent from the
 * first registrar's account. `say` is told once of each thing that happens to a device.
 */
export function watchAttestations(
  devices: readonly EnrolledDevice[],
  layout: Layout,
  registry: Registry,
  provider: ChainProvider,
  say: (line: string) => void,
): Loops {
  const sender = new Sender((registry.people.registrars[0] as Account).key, provider, registry.deployment.chainId);
  const said = new Map<string, string>();
  const sayOnce = (name: string, line: string) => {
    if (said.get(name) !== line) say(`${name}: ${line}`);
    said.set(name, line);
  };
  const watched = devices.map(({ name, deviceId, configFile }) => ({
    name,
    deviceId,
    service: paths(parseConfig(readJson(configFile), layout.device(name))).service,
  }));
  const loops = new Loops((_, error) => sayOnce("attestation", error.message));
  loops.every(LOOK_MS, "attestation", async () => {
    for (const { name, deviceId, service } of watched) {
      try {
        const line = await attestIfDue(deviceId, service, registry, sender);
        if (line) sayOnce(name, line);
      } catch (error) {
        sayOnce(name, `not attested: ${(error as Error).message}`);
      }
    }
  });
  return loops;
}

/** @returns What was done; undefined where nothing was due, or nobody answers yet. */
async function attestIfDue(
  deviceId: string,
  service: string,
  registry: Registry,
  sender: Sender,
): Promise<string | undefined> {
  const { DeviceRegistry } = registry.contracts;
  const agent = await connectService(service);
  if (!agent) return undefined;
  try {
    const [now, view, last] = await Promise.all([
      agent.status(),
      DeviceRegistry.device(deviceId),
      DeviceRegistry.freshnessOf(deviceId),
    ]);
    // Between the two steps of a rotation the agent has another key than the registry.
    if (view.status !== ACTIVE || Number(view.keyEpoch) !== now.keyEpoch) return undefined;
    const started = last.keyEpoch !== view.keyEpoch || Number(last.resetCount) !== now.bootEpoch || !last.safe;
    if (!started && Number(last.validUntilMs) - Date.now() > VALID_MS / 2) return undefined;
    const attestation = await Attestation.of(agent, "current", registry);
    // After a power cut the TPM's clock is not sure of itself for a while.
    if (!attestation.judged.safe) return undefined;
    await sendInOrder(sender, [attestation.quoteCall()]);
    return `attested in its start ${now.bootEpoch}, until ${new Date(attestation.atMs + VALID_MS).toISOString()}`;
  } finally {
    agent.close();
  }
}
