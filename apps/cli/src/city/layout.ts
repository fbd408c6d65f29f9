import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { addressOfKey, type Config as Committee, type Hex, keccak256, quorum, toHex, utf8 } from "@msec/core";
import { freePort, isFreePort, readJson, secretFile, writeJson } from "@msec/service";

/** Where an embedded city keeps what it has; every process has a folder of its own under it. */
export class Layout {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
    mkdirSync(root, { recursive: true, mode: 0o700 });
    mkdirSync(this.logs, { recursive: true });
  }

  get logs() {
    return join(this.root, "logs");
  }
  get postgres() {
    return join(this.root, "postgres");
  }
  get chain() {
    return join(this.root, "chain");
  }
  /** The nodes of a city on Quorum. */
  get network() {
    return join(this.root, "network");
  }
  get deployment() {
    return join(this.root, "deployment.json");
  }
  /** What an auditor compares the chain with. */
  get manifest() {
    return join(this.root, "manifest.json");
  }
  /** What runs now: process ids and addresses. Written by `up`, read by every other command. */
  get run() {
    return join(this.root, "run.json");
  }
  get purchases() {
    return join(this.root, "purchases");
  }
  get subscriptions() {
    return join(this.root, "subscriptions");
  }
  /** Configuration of the embedded broker. */
  get broker() {
    return join(this.root, "broker.json");
  }
  /** Configuration of the indexer. */
  get indexer() {
    return join(this.root, "indexer.json");
  }
  /** The web application: its configuration and what only it knows. */
  get marketplace() {
    return join(this.root, "marketplace");
  }
  operator(n: number) {
    return join(this.root, "operators", String(n));
  }
  market(n: number) {
    return join(this.root, "market", String(n));
  }
  device(name: string) {
    return join(this.root, "devices", name);
  }
  deviceConfig(name: string) {
    return join(this.device(name), "config.json");
  }
  /** The emulated TPM of a device: its memory, and the socket that it answers at. */
  tpm(name: string) {
    return join(this.device(name), "tpm");
  }
  /** The emulated TPM that holds an operator's root of erasure keys. */
  operatorTpm(n: number) {
    return join(this.operator(n), "tpm");
  }
  /** The certification authority of whoever makes the emulated TPMs. */
  get tpmMaker() {
    return join(this.root, "tpm-maker");
  }
  person(name: string) {
    return join(this.root, "people", name);
  }
  /** Whoever judges for an organisation: its account, and the votes that it has yet to show. */
  judge(organisation: string) {
    return this.person(`judge-${organisation}`);
  }
}

/** How many operators and deliverers a city has. */
export interface Size {
  operators: number;
  markets: number;
}

export const CITY: Size = { operators: 4, markets: 2 };

export interface Account {
  address: Hex;
  key: Hex;
}

/** A member of the panel. */
export interface Judge extends Account {
  /** Name of its organisation. */
  organisation: string;
}

function account(folder: string, secret: string): Account {
  const key = secretFile(folder, secret);
  return { address: addressOfKey(key), key: toHex(key) };
}

export const organisationId = (name: string): Hex => toHex(keccak256(utf8(name)));

/** Everyone who takes part in an embedded city. In a real one each holds their own keys. */
export interface People {
  deployer: Account;
  /** Owner and seller of the park stations. */
  city: Account;
  /** Owner and seller of the home sensor. */
  citizen: Account;
  /** Whoever lives where the home sensor is: a pseudonym for this one device. */
  resident: Account;
  buyer: Account;
  registrars: Account[];
  operators: Account[];
  deliverers: Account[];
  /** Who judges complaints about quality: one of each operator's and registrar's organisation. */
  judges: Judge[];
  committee: Committee;
}

export function people(layout: Layout, size = CITY): People {
  const person = (name: string) => account(layout.person(name), "account");
  const operators = Array.from({ length: size.operators }, (_, i) => account(layout.operator(i + 1), "operator"));
  const ordered = operators
    .map((o, i) => ({ ...o, organisation: organisationId(`operator-${i + 1}`) }))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
  const registrars = ["registrar-1", "registrar-2"];
  return {
    deployer: person("deployer"),
    city: person("city"),
    citizen: person("citizen"),
    resident: person("resident"),
    buyer: person("buyer"),
    registrars: registrars.map(person),
    operators,
    deliverers: Array.from({ length: size.markets }, (_, i) => account(layout.market(i + 1), "deliverer")),
    judges: operators
      .map((_, i) => `operator-${i + 1}`)
      .concat(registrars)
      .map((organisation) => ({ organisation, ...account(layout.judge(organisation), "account") })),
    committee: {
      q: quorum(size.operators),
      members: ordered.map((o) => o.address),
      organisations: ordered.map((o) => o.organisation),
      fromEpoch: 1,
    },
  };
}

export interface Ports {
  chain: number;
  broker: number;
  operators: number[];
  ipfs: number[];
  markets: number[];
  indexer: number;
  marketplace: number;
}

/** Where people look for the pages of a city on their own machine. */
const PAGES_PORT = 3000;

/** A city keeps its ports over restarts; one that somebody else has taken since is replaced. */
export async function choosePorts(layout: Layout, size = CITY): Promise<Ports> {
  const file = join(layout.root, "ports.json");
  const before = readJson<Ports>(file);
  const taken = new Set<number>();
  const choose = async (wanted: number | undefined): Promise<number> => {
    const kept = wanted !== undefined && !taken.has(wanted) && (await isFreePort(wanted));
    const port = kept ? wanted : await freePort(taken);
    taken.add(port);
    return port;
  };
  const many = async (count: number, wanted: number[] | undefined) => {
    const out: number[] = [];
    for (let i = 0; i < count; i++) out.push(await choose(wanted?.[i]));
    return out;
  };
  const ports: Ports = {
    chain: await choose(before?.chain),
    broker: await choose(before?.broker),
    operators: await many(size.operators, before?.operators),
    ipfs: await many(size.operators, before?.ipfs),
    markets: await many(size.markets, before?.markets),
    indexer: await choose(before?.indexer),
    marketplace: await choose(before?.marketplace ?? PAGES_PORT),
  };
  writeJson(file, ports);
  return ports;
}
