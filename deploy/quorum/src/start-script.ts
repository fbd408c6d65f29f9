import { fileURLToPath } from "node:url";
import { findBinary } from "./binary.ts";
import { EDGE, KEEPER } from "./companions.ts";
import { MANAGER, OWN_DATABASE } from "./manager.ts";
import { type NetworkFolder, type NetworkPlan, type NodePlan } from "./network.ts";
import { programOf } from "./program.ts";
import { quoted } from "./shell.ts";

export const RUN_NODE = fileURLToPath(new URL("./run-node.ts", import.meta.url));
/** Arguments of `node` for a small program of one's own. */
export const PLAIN = "--disable-warning=ExperimentalWarning";

const words = (all: string[]): string => all.map(quoted).join(" ");

/**
 * A shell script that runs one node in the foreground, for a machine without systemd: its manager before it, edge and keeper
 * beside it. Told to end, or when the node ends, it ends all of them, the manager last.
 */
export function startScript(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): string {
  const found = findBinary();
  const config = folder.managerConfig(one.name);
  const beside = (args: string[], log: string) =>
    `${words([process.execPath, ...args])} >> ${quoted(log)} 2>&1 & beside="$beside $!"`;
  return `#!/bin/sh
# ${one.name} in the foreground, with what belongs to it. Written by msec network.
set -u
umask 077
${"missing" in found ? "" : `export GOQUORUM_BIN="\${GOQUORUM_BIN:-"${quoted(found.path)}"}"\n`}node= manager= beside=
end() { [ -n "$node" ] && kill "$node" 2> /dev/null; }
trap end INT TERM
${
  one.manager
    ? `if [ -z "\${DATABASE_URL:-}" ] && grep -qF ${quoted(`"${OWN_DATABASE}"`)} ${quoted(config)}; then
  echo "name a PostgreSQL database of this manager alone, in DATABASE_URL or as databaseUrl in "${quoted(config)} >&2
  exit 1
fi
${words([process.execPath, ...programOf("manager", MANAGER, config)])} >> ${quoted(folder.managerLog(one.name))} 2>&1 & manager=$!
`
    : ""
}${one.edge ? `${beside(programOf("edge", EDGE, folder.edgeConfig(one.name)), folder.edgeLog(one.name))}\n` : ""}${
    plan.directory
      ? `${beside(programOf("keeper", KEEPER, folder.keeperConfig(one.name)), folder.keeperLog(one.name))}\n`
      : ""
  }${words([process.execPath, PLAIN, RUN_NODE, folder.root, one.name])} & node=$!
# A signal ends the wait before the node has ended.
while kill -0 "$node" 2> /dev/null; do wait "$node"; code=$?; done
[ -n "$beside" ] && kill $beside 2> /dev/null
[ -n "$manager" ] && kill "$manager" 2> /dev/null
wait
exit "\${code:-1}"
`;
}
