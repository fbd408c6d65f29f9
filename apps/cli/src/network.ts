import { existsSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join, resolve } from "node:path";
import {
  addNode,
  admitNode,
  backupNetwork,
  castVote,
  downNetwork,
  Extensions,
  followDirectory,
  initNetwork,
  invite,
  joinNetwork,
  NetworkFolder,
  networkStatus,
  privacyOf,
  readPlan,
  recoverPayloads,
  removeValidator,
  requireBinary,
  restoreNetwork,
  upNetwork,
} from "@msec/quorum";
import { type Hex } from "@msec/core";
import { writeJson } from "@msec/service";
import { type Command, Option } from "commander";
import { parseCard, showCard } from "./agreement/card.ts";
import { QUORUM_CHAIN_ID } from "./city/chain.ts";
import { bold, dim, good, print, printJson, short, table, warn } from "./output.ts";
import { Problem } from "./problem.ts";

type Common = { dir: string; json?: boolean };

function whole(text: string, option: string, least: number, most: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most)
    throw new Problem(`${option} takes a whole number from ${least} to ${most}, not ${text}`, 2);
  return value;
}

type Tessera = { q2t: string; thirdParty: string };

function tesseras(text: string, before: Tessera[] = []): Tessera[] {
  const [q2t, thirdParty, ...more] = text.split(",");
  const isUrl = (url: string | undefined): url is string => /^https?:/.test(url ?? "") && URL.canParse(url as string);
  if (!isUrl(q2t) || !isUrl(thirdParty) || more.length > 0)
    throw new Problem(`--tessera takes the URLs of its Q2T and ThirdParty servers with a comma, not ${text}`, 2);
  return [...before, { q2t, thirdParty }];
}

/** Makes the network that is to come up, unless it is there as it is asked for. Nothing is made that could not run. */
async function makeFirst(root: string, validators: number, members: number): Promise<void> {
  const folder = new NetworkFolder(root);
  if (existsSync(folder.plan)) {
    const { nodes } = readPlan(folder);
    const [makers, parties] = [nodes.filter((n) => n.validator).length, nodes.filter(privacyOf).length];
    if (makers === validators && parties === members) return;
    throw new Problem(
      `the network in ${root} has ${makers} validators and ${parties} members: leave --validators and --members out, or use --dir for another`,
      2,
    );
  }
  requireBinary();
  const chain = { chainId: QUORUM_CHAIN_ID, blockSeconds: 1 };
  await initNetwork(root, { ...chain, validators, members, observers: 0 });
}

/** Adds the commands that make and keep a GoQuorum network. */
export function addNetworkCommands(program: Command): void {
  const network = program.command("network").description("make and run a private GoQuorum network").exitOverride();
  const command = (name: string, description: string) =>
    network
      .command(name)
      .description(description)
      .addOption(new Option("--dir <DIR>", "folder of the network").default(".msec/network").env("MSEC_NETWORK_DIR"))
      .addOption(new Option("--json", "print JSON for scripts"))
      .exitOverride();

  command("init", "write a complete network: keys, genesis block, whom each node dials and lets in")
    .option("--validators <N>", "nodes that make blocks, at least 4", "4")
    .option("--observers <N>", "further nodes, which only follow", "0")
    .option("--members <N>", "how many of the nodes, the first ones, have a privacy manager; none if left out")
    .option("--block-seconds <N>", "seconds between blocks", "1")
    .option("--chain-id <N>", "chain id, not 1", String(QUORUM_CHAIN_ID))
    .option("--hosts <ADDRESSES>", "for machines of their own: where each node is reached, IPv4, by commas")
    .option(
      "--tessera <Q2T,THIRDPARTY>",
      "for each member once: URLs of its Tessera, in place of our manager",
      tesseras,
    )
    .action(
      async ({
        dir,
        json,
        validators,
        observers,
        members,
        blockSeconds,
        chainId,
        hosts,
        tessera,
      }: Common &
        Record<"validators" | "observers" | "blockSeconds" | "chainId", string> & {
          members?: string;
          hosts?: string;
          tessera?: Tessera[];
        }) => {
        const plan = await initNetwork(resolve(dir), {
          validators: whole(validators, "--validators", 4, 64),
          observers: whole(observers, "--observers", 0, 64),
          members: members === undefined ? (tessera?.length ?? 0) : whole(members, "--members", 0, 128),
          ...(tessera ? { tesseras: tessera } : {}),
          ...(hosts === undefined ? {} : { hosts: hosts.split(",") }),
          blockSeconds: whole(blockSeconds, "--block-seconds", 1, 60),
          chainId: whole(chainId, "--chain-id", 2, Number.MAX_SAFE_INTEGER),
        });
        if (json) printJson(plan);
        else {
          print(good(`a network of ${plan.nodes.length} nodes in ${dir}`));
          table(
            ["node", "address", "validator", "RPC", "privacy manager"],
            plan.nodes.map((n) => [
              n.name,
              n.address,
              n.validator ? "yes" : "",
              `http://127.0.0.1:${n.rpc}`,
              privacyOf(n)?.q2t ?? "",
            ]),
          );
          print(dim(`bring it up with ${bold(`msec network up --dir ${dir}`)}`));
        }
      },
    );

  command("up", "start every node, and wait until the chain makes blocks; the nodes go on without this command")
    .option("--node <NODE>", "start this one alone, beside those that run")
    .option("--validators <N>", "make the network first, of N validators, where there is none yet")
    .option("--members <N>", "how many of them have a privacy manager, if it is made first; none if left out")
    .action(async ({ dir, json, node, ...made }: Common & { node?: string; validators?: string; members?: string }) => {
      if (made.validators ?? made.members) {
        if (node) throw new Problem("--node starts one of a network that is there: leave it or --validators out", 2);
        const validators = whole(made.validators ?? "4", "--validators", 4, 64);
        await makeFirst(resolve(dir), validators, whole(made.members ?? "0", "--members", 0, validators));
      }
      const running = await upNetwork(resolve(dir), (line) => !json && print(dim(`  ${line}`)), node);
      if (json) printJson({ rpcs: running.rpcs, pids: running.pids() });
      else print(good(node ? `${node} runs` : `the chain makes blocks: ${running.rpcs.join(", ")}`));
    });

  command("status", "how each node is: exit 1 if one of this folder does not answer or is behind").action(
    async ({ dir, json }: Common) => {
      const { nodes, validators } = await networkStatus(resolve(dir));
      const newest = Math.max(...nodes.map(({ block }) => block ?? 0));
      const isWell = (n: (typeof nodes)[number]) => n.block !== null && newest - n.block <= 3 && (n.age ?? 0) < 60;
      const stateOf = (n: (typeof nodes)[number]) => {
        if (!n.here) return dim("not in this folder");
        if (n.block === null) return warn("does not answer");
        return isWell(n) ? "well" : warn("behind, or the chain stands still");
      };
      if (json) printJson({ nodes, validators });
      else
        table(
          ["node", "address", "process", "manager", "validator", "block", "seconds ago", "peers", "state"],
          nodes.map((n) => [
            n.name,
            short(n.address),
            n.pid ?? "",
            n.manager ?? "",
            n.validator ? "yes" : "",
            n.block ?? "",
            n.block === 0 ? "" : (n.age ?? ""),
            n.peers ?? "",
            stateOf(n),
          ]),
        );
      const here = nodes.filter((n) => n.here);
      if (here.length === 0 || !here.every(isWell)) process.exitCode = 1;
    },
  );

  command("down", "stop every node").action(async ({ dir, json }: Common) => {
    const stopped = await downNetwork(resolve(dir));
    if (json) printJson({ stopped });
    else print(good(stopped.length === 0 ? "no node was running" : `stopped ${stopped.join(", ")}`));
  });

  command("add-node", "plan one more node, let it in, start it, and have the validators vote for it")
    .option("--observer", "let it follow only: no votes", false)
    .action(async ({ dir, json, observer }: Common & { observer: boolean }) => {
      const added = await addNode(resolve(dir), !observer);
      if (json) printJson(added);
      else print(good(`${added.name} (${added.address}) is ${observer ? "let in" : "a validator"}`));
    });

  command("invite", "write what another organisation needs to join with a node of its own; no secret is in it")
    .requiredOption("--out <FILE>", "file, for msec network join")
    .action(({ dir, json, out }: Common & { out: string }) => {
      const invitation = invite(resolve(dir));
      writeJson(resolve(out), invitation);
      if (json) printJson({ invitation: out });
      else print(good(`${out}: an invitation to a network of ${invitation.network.nodes.length} nodes`));
    });

  command("join", "make one more node of a network, in a folder of its own, for the others to take in")
    .argument("<INVITATION>", "file, as invite wrote it")
    .option("--host <ADDRESS>", "where the others reach this machine, IPv4", "127.0.0.1")
    .option("--observer", "it is to follow only", false)
    .option("--member", "with a privacy manager", false)
    .option("--tessera <Q2T,THIRDPARTY>", "with a Tessera: its URLs", tesseras)
    .action(
      async (
        invitation: string,
        {
          dir,
          json,
          host,
          observer,
          member,
          tessera,
        }: Common & { host: string; observer: boolean; member: boolean; tessera?: Tessera[] },
      ) => {
        if (!isIPv4(host)) throw new Problem(`--host takes an IPv4 address, not ${host}`, 2);
        if (member && tessera) throw new Problem("--member makes a manager of our own: leave it or --tessera out", 2);
        const kind = tessera ? { tessera: tessera[0] as Tessera } : { member };
        const own = await joinNetwork(resolve(dir), invitation, { validator: !observer, host, ...kind });
        if (json) return printJson(own);
        const { name, address } = own.node;
        print(good(`${name} (${address}) in ${dir}; give ${join(dir, "card.json")} to all other operators`));
        print(
          dim(
            `they run ${bold("msec network admit CARD")}, you ${bold(`msec network up --node ${name} --dir ${dir}`)}`,
          ),
        );
        if (!observer) print(dim(`once it is level they vote: ${bold(`msec network vote ${name}`)}`));
      },
    );

  command("admit", "take in a node of another organisation: note it, let it in, tell the managers of its own")
    .argument("<CARD>", "file, as join wrote it")
    .action(async (card: string, { dir, json }: Common) => {
      const { node, unaware } = await admitNode(resolve(dir), card);
      if (json) printJson({ node, unaware });
      else {
        print(good(`${node.name} (${node.address}) at ${node.host}:${node.p2p} is taken in`));
        for (const name of unaware)
          print(warn(`the manager of ${name} knows of it when it is started again, or gets a SIGHUP`));
      }
    });

  command("remove-validator", "have the other validators vote a node out; it goes on following")
    .argument("<NODE>", "name, such as node-4")
    .action(async (name: string, { dir, json }: Common) => {
      const validators = await removeValidator(resolve(dir), name);
      if (json) printJson({ validators });
      else print(good(`${name} makes no more blocks; ${validators.length} validators are left`));
    });

  command("vote", "cast the vote of your own validators on a node; the others' operators do the same at theirs")
    .argument("<NODE>", "name, such as node-5, or its address")
    .option("--out", "that it is a validator no more", false)
    .action(async (who: string, { dir, json, out }: Common & { out: boolean }) => {
      const ballot = await castVote(resolve(dir), who, !out);
      if (json) return printJson(ballot);
      if (ballot.decided) print(good(`decided: ${ballot.address} is ${out ? "no validator any more" : "a validator"}`));
      else print(`${ballot.votes} of the ${ballot.needed} votes that it takes are cast on ${ballot.address}`);
    });

  command("follow", "let in only nodes whose account is in an organisation of a Directory, from now on")
    .argument("<DIRECTORY>", "address of the contract")
    .action(async (directory: string, { dir, json }: Common) => {
      if (!/^0x[0-9a-fA-F]{40}$/.test(directory)) throw new Problem(`${directory} is no address`, 2);
      await followDirectory(resolve(dir), directory.toLowerCase() as Hex);
      if (json) printJson({ directory });
      else print(good("nodes whose account leaves the Directory lose their connections within two blocks"));
    });

  command("backup", "write what an organisation needs to come back into a new folder; the network may be up")
    .requiredOption("--out <FOLDER>", "new folder; the keys in it stay sealed")
    .option("--wrapping-out <FILE>", "new file for the keys that open them, for another medium; once is enough")
    .option("--node <NODE...>", "take these nodes only")
    .option("--chain-data", "take the blocks as well, of nodes that do not run", false)
    .action(
      async ({
        dir,
        json,
        out,
        wrappingOut,
        node,
        chainData,
      }: Common & { out: string; wrappingOut?: string; node?: string[]; chainData: boolean }) => {
        const written = await backupNetwork(resolve(dir), out, {
          ...(node ? { nodes: node } : {}),
          ...(wrappingOut ? { wrappingOut } : {}),
          chainData,
        });
        if (json) printJson(written);
        else {
          print(good(`${written.nodes.join(", ")} in ${out}: ${written.files.length} files`));
          if (wrappingOut) print(warn(`${wrappingOut} opens every backup of these nodes: keep it elsewhere`));
          else print(dim("it is restored with the file that --wrapping-out wrote once"));
        }
      },
    );

  command("restore", "put nodes of a backup back, into a new folder or where they were lost; replaces nothing")
    .requiredOption("--from <FOLDER>", "the backup")
    .requiredOption("--wrapping <FILE>", "the keys that open it, as backup --wrapping-out wrote them")
    .option("--node <NODE...>", "put these nodes back only")
    .action(
      async ({ dir, json, from, wrapping, node }: Common & { from: string; wrapping: string; node?: string[] }) => {
        const nodes = await restoreNetwork(resolve(dir), from, wrapping, node);
        if (json) return printJson({ restored: nodes.map(({ name }) => name) });
        print(good(`${nodes.map(({ name }) => name).join(", ")} back in ${dir}`));
        for (const one of nodes.filter(({ manager }) => manager))
          print(dim(`before it starts, what came since: ${bold(`msec network recover ${one.name} --dir ${dir}`)}`));
      },
    );

  command("recover", "have the other privacy managers give back what they hold of a node's payloads")
    .argument("<NODE>", "name, such as node-1")
    .action(async (name: string, { dir, json }: Common) => {
      const lines: string[] = [];
      await recoverPayloads(resolve(dir), name, (line) => (json ? lines.push(line) : print(dim(`  ${line}`))));
      if (json) printJson({ parties: lines });
      else print(good(`${name} has what the others hold of its payloads`));
    });

  addExtensionCommands(command);
}

const HOUR_SECONDS = 3600;
const PARTY = "msec network party";

/** Adds the commands that give a private contract to one more party, as the operators of the nodes run them. */
function addExtensionCommands(command: (name: string, description: string) => Command): void {
  type Node = Common & { node: string };
  const atNode = (name: string, description: string) =>
    command(name, description).requiredOption("--node <NODE>", "your node, which must run with its privacy manager");
  const at = ({ dir, node }: Node) => new Extensions(resolve(dir), node);
  const address = (text: string): Hex => {
    if (!/^0x[0-9a-fA-F]{40}$/.test(text)) throw new Problem(`${text} is no address`, 2);
    return text.toLowerCase() as Hex;
  };

  atNode("party", "print what another operator needs to offer this node a private contract").action(
    async (options: Node) => {
      const own = await at(options).card();
      if (options.json) printJson({ ...own, card: showCard(own) });
      else print(showCard(own));
    },
  );

  atNode("offer", "offer a private contract that your node made to one more party, and wait for its vote")
    .argument("<CONTRACT>", "address of the contract")
    .requiredOption("--to <CARD>", `the new party's, as ${PARTY} prints it there`)
    .option("--hours <N>", "how long to wait before it is taken back, as Ctrl-C does", "1")
    .action(async (contract: string, options: Node & { to: string; hours: string }) => {
      const hours = whole(options.hours, "--hours", 1, 24 * 14);
      const stop = new AbortController();
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stop.abort());
      let management: Hex | undefined;
      const told = (offer: Hex) => {
        management = offer;
        if (!options.json) print(dim(`offer ${offer}: ${bold(`msec network accept ${offer}`)} at the other's node`));
      };
      const to = parseCard(options.to, PARTY);
      const outcome = await at(options).offer(address(contract), to, hours * HOUR_SECONDS, told, stop.signal);
      if (options.json) printJson({ offer: management, outcome });
      else print(outcome === "extended" ? good("the new party has the contract") : warn(`the offer was ${outcome}`));
      if (outcome !== "extended") process.exitCode = 1;
    });

  atNode("offers", "private contracts that are offered to this node or by it").action(async (options: Node) => {
    const open = await at(options).active();
    if (options.json) return printJson(open);
    table(
      ["offer", "contract", "from", "to"],
      open.map((one) => [
        one.managementContractAddress,
        one.contractExtended,
        short(one.initiator),
        short(one.recipient),
      ]),
    );
  });

  const vote = (name: string, description: string, accept: boolean) =>
    atNode(name, description)
      .argument("<OFFER>", "as offers prints it")
      .option(
        "--with <CARD>",
        "another party that should hear of it, once each",
        (text: string, before: string[] = []) => [...before, parseCard(text, PARTY).key],
      )
      .action(async (offer: string, options: Node & { with?: string[] }) => {
        const { contractExtended } = await at(options).vote(address(offer), accept, options.with);
        if (options.json) printJson({ contract: contractExtended, accepted: accept });
        else print(good(accept ? `this node has the contract ${contractExtended}` : "refused"));
      });
  vote("accept", "take a private contract that is offered to this node, and wait for it", true);
  vote("refuse", "refuse a private contract that is offered to this node", false);

  atNode("take-back", "take back an offer whose command was killed")
    .argument("<OFFER>", "as offers prints it")
    .action(async (offer: string, options: Node) => {
      await at(options).takeBack(address(offer));
      if (options.json) printJson({ takenBack: offer });
      else print(good("taken back"));
    });
}
