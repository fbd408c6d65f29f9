import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { writeFileAtomic } from "@msec/secure-element";

/** The production profile of Mosquitto 2 (Debian's package), as files of one folder. */

const PROGRAM = "mosquitto";
const PLUGIN = "mosquitto_dynamic_security.so";
/** Whoever keeps the rights in step has this name; nobody can enrol under it. */
export const KEEPER = "keeper";
const QUEUE_BYTES = 256 * 1024 * 1024;
/** A pack has at most 50,192 bytes. */
const PACKET_BYTES = 65_536;
const INFLIGHT = 1000;
const CONTROL = "$CONTROL/dynamic-security/#";

const folders = () => [...(process.env.PATH ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"];

/** The broker's program, undefined where it is not installed. */
export const mosquittoProgram = (): string | undefined =>
  folders()
    .filter(Boolean)
    .map((folder) => join(folder, PROGRAM))
    .find((file) => existsSync(file));

function plugin(): string | undefined {
  const libraries = ["/usr/lib", "/usr/local/lib"].flatMap((root) =>
    existsSync(root) ? [root, ...readdirSync(root).map((name) => join(root, name))] : [],
  );
  return libraries.map((folder) => join(folder, PLUGIN)).find((file) => existsSync(file));
}

/** Whether Mosquitto and its plug-in for rights are installed; a sentence saying what to do if not. */
export function missingMosquitto(): string | undefined {
  const missing = [mosquittoProgram() ? [] : [PROGRAM], plugin() ? [] : [PLUGIN]].flat();
  if (missing.length === 0) return undefined;
  return `${missing.join(", ")} not found: install the package mosquitto (apt-get install mosquitto)`;
}

/** Files of the profile. */
export const profileFiles = (folder: string) => ({
  config: join(folder, "mosquitto.conf"),
  rights: join(folder, "dynamic-security.json"),
  ca: join(folder, "ca.crt"),
  certificate: join(folder, "server.crt"),
  key: join(folder, "server.key"),
  revoked: join(folder, "revoked.pem"),
  pid: join(folder, "mosquitto.pid"),
  data: join(folder, "data"),
});

/** Writes the configuration, and the rights where there are none yet: from then on they are the broker's own file. */
export async function writeProfile(folder: string, host: string, port: number): Promise<void> {
  const missing = missingMosquitto();
  if (missing) throw new Error(missing);
  const at = profileFiles(folder);
  mkdirSync(at.data, { recursive: true, mode: 0o700 });
  const lines = [
    "# Written at every start of the enrolment service: change its configuration, not this file.",
    `user ${userInfo().username}`,
    `pid_file ${at.pid}`,
    "per_listener_settings false",
    `listener ${port} ${host}`,
    "protocol mqtt",
    "tls_version tlsv1.3",
    `cafile ${at.ca}`,
    `certfile ${at.certificate}`,
    `keyfile ${at.key}`,
    `crlfile ${at.revoked}`,
    "require_certificate true",
    "use_identity_as_username true",
    "use_username_as_clientid true",
    "allow_anonymous false",
    `plugin ${plugin()}`,
    `plugin_opt_config_file ${at.rights}`,
    "persistence true",
    `persistence_location ${at.data}/`,
    "autosave_on_changes true",
    "autosave_interval 1",
    "persistent_client_expiration 7d",
    "max_queued_messages 0",
    `max_queued_bytes ${QUEUE_BYTES}`,
    `max_inflight_messages ${INFLIGHT}`,
    `max_packet_size ${PACKET_BYTES}`,
    "retain_available true",
    "set_tcp_nodelay true",
    "log_dest stderr",
    "log_type error",
    "log_type warning",
    "log_type notice",
    "",
  ];
  await writeFileAtomic(at.config, lines.join("\n"));
  if (!existsSync(at.rights)) await writeFileAtomic(at.rights, `${JSON.stringify(FIRST_RIGHTS, undefined, 2)}\n`);
}

const allow = (acltype: string, topic: string) => ({ acltype, topic, priority: 0, allow: true });

const FIRST_RIGHTS = {
  defaultACLAccess: { publishClientSend: false, publishClientReceive: false, subscribe: false, unsubscribe: true },
  clients: [{ username: KEEPER, roles: [{ rolename: KEEPER }] }],
  groups: [],
  roles: [
    {
      rolename: KEEPER,
      acls: ["publishClientSend", "publishClientReceive", "subscribePattern"].map((type) => allow(type, CONTROL)),
    },
  ],
};

/** Has a running Mosquitto read certificates and the revocation list again; false where none runs. */
export function reload(folder: string): boolean {
  try {
    const pid = Number(readFileSync(profileFiles(folder).pid, "utf8"));
    if (readFileSync(`/proc/${pid}/comm`, "utf8").trim() !== PROGRAM) return false;
    process.kill(pid, "SIGHUP");
    return true;
  } catch {
    return false;
  }
}
