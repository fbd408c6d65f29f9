import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectChain, contractsAt, endpoint, PrivacyManager, type Profile } from "@msec/chain";
import { type Hex, toHex } from "@msec/core";
import { secretFile } from "@msec/service";
import { type Command, Option } from "commander";
import { amountOf } from "../amount.ts";
import { runningCity } from "../city/up.ts";
import { bold, dim, good, print, printJson, short, table, time, warn } from "../output.ts";
import { Problem } from "../problem.ts";
import { parseCard, showCard } from "./card.ts";
import { type Card, digestsDomain, signedVersion } from "./message.ts";
import { type ContractView } from "./contract.ts";
import { checkSigned, Desk } from "./desk.ts";
import { paymentsOf } from "./payment.ts";
import { type AgreementState, stateName, type Version } from "./replay.ts";

const NO_CONTRACT =
  "No private contract stands behind this here: the privacy managers hold terms and signatures, the chain the digest.";
const DAY_MS = 86_400_000;

interface ChainOptions {
  dir: string;
  rpc?: string;
  digests?: string;
  token?: string;
  json?: boolean;
}
interface DeskOptions extends ChainOptions {
  manager: string;
  thirdParty?: string;
  account: string;
}

function addressOf(text: string, option: string): Hex {
  if (!/^0x[0-9a-f]{40}$/.test(text)) throw new Problem(`${option} takes a lower-case address`, 2);
  return text as Hex;
}

/** The chain, its AgreementDigests and its token: of the city that is up, or as given. */
function chainOf({ dir, rpc, digests, token }: ChainOptions): {
  rpc: string;
  digests: Hex;
  token?: Hex;
  profile?: Profile;
} {
  if (rpc && digests)
    return {
      ...{ rpc, digests: addressOf(digests, "--digests") },
      ...(token === undefined ? {} : { token: addressOf(token, "--token") }),
    };
  if (rpc || digests) throw new Problem("--rpc and --digests go together", 2);
  const run = runningCity(dir);
  if (!run) throw new Problem(`no city is up in ${dir}: name its folder with --dir, or give --rpc and --digests`);
  const { AgreementDigests, MSecToken } = run.deployment.addresses;
  return { rpc: run.chain.rpc, digests: AgreementDigests, token: MSecToken, profile: run.chain };
}

async function chainIdOf(rpc: string): Promise<number> {
  const asked = connectChain(endpoint(rpc, 1));
  try {
    return Number(await asked.send("eth_chainId", []));
  } catch (error) {
    throw new Problem(`${rpc} does not answer: ${(error as Error).message}`);
  } finally {
    asked.destroy();
  }
}

async function withChain<T>(
  options: ChainOptions,
  work: (parts: {
    provider: ReturnType<typeof connectChain>;
    chainId: number;
    digests: ReturnType<typeof contractsAt<"AgreementDigests">>["AgreementDigests"];
    digestsAddress: Hex;
    token: Hex | undefined;
  }) => Promise<T>,
): Promise<T> {
  const { rpc, digests: digestsAddress, token, profile } = chainOf(options);
  const at = profile ?? endpoint(rpc, await chainIdOf(rpc));
  const { chainId } = at;
  const provider = connectChain(at);
  try {
    const { AgreementDigests: digests } = contractsAt({ AgreementDigests: digestsAddress }, provider);
    return await work({ provider, chainId, digests, digestsAddress, token });
  } finally {
    provider.destroy();
  }
}

function tokenOf(token: Hex | undefined): Hex {
  if (token) return token;
  throw new Problem("name the token that is paid in with --token", 2);
}

function withDesk<T>(options: DeskOptions, work: (desk: Desk, token: Hex | undefined) => Promise<T>): Promise<T> {
  if (!options.manager) throw new Problem("--manager takes the URL or socket of your privacy manager", 2);
  return withChain(options, ({ token, ...chain }) =>
    work(
      new Desk({
        ...chain,
        manager: new PrivacyManager(options.manager, options.thirdParty ?? options.manager),
        privateKey: toHex(secretFile(options.account, "account")),
        folder: join(options.account, "agreements"),
      }),
      token,
    ),
  );
}

const cards = (text: string, before: Card[] = []) => [...before, parseCard(text, "msec agreement card")];

function days(text: string, option: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Problem(`${option} takes a number of days`, 2);
  return value * DAY_MS;
}

const summary = (state: AgreementState) => {
  const name = stateName(state, Date.now());
  const version = (v: Version | undefined) =>
    v && {
      version: v.agreement.version,
      digest: v.digest,
      terms: v.terms,
      parties: v.cards.filter(({ account }) => v.agreement.parties.includes(account)),
      auditors: v.cards.filter(({ account }) => v.agreement.auditors.includes(account)),
      signed: [...v.signatures.keys()].sort(),
      missing: v.asked.filter((account) => !v.signatures.has(account)),
      signUntil: time(v.agreement.deadline),
      ends: time(v.agreement.endMs),
      noticeDays: v.agreement.noticeMs / DAY_MS,
    };
  const ends = state.active ? { ends: time(state.endMs) } : {};
  return { id: state.id, state: name, ...ends, active: version(state.active), open: version(state.open) };
};

function showVersion(title: string, v: NonNullable<ReturnType<typeof summary>["active"]>): void {
  print(bold(`${title}: version ${v.version}`));
  print(`  digest    ${v.digest}`);
  for (const party of v.parties)
    print(`  party     ${party.account} ${v.signed.includes(party.account) ? good("signed") : "has not signed"}`);
  for (const auditor of v.auditors) print(`  auditor   ${auditor.account}`);
  print(`  ends      ${v.ends}, notice ${v.noticeDays} days`);
  if (v.missing.length > 0) print(`  sign until ${v.signUntil}`);
  print(`  terms     ${v.terms}`);
}

interface More {
  anchoredMs?: number;
  contract?: ContractView | null;
}

function show(state: AgreementState, json: boolean | undefined, more: More = {}): void {
  const view = summary(state);
  if (json) return printJson({ ...view, ...more });
  print(`${view.id}  ${good(view.state)}${view.ends ? `, ends ${view.ends}` : ""}`);
  if (view.active) showVersion("in force", view.active);
  if (view.open) showVersion("proposed", view.open);
  if (more.contract === undefined) return;
  if (more.contract === null) print(dim(NO_CONTRACT));
  else {
    const { state: now, level } = more.contract;
    print(`its private contract ${now}, ${level ? "level with this" : warn("behind: msec agreement resume")}`);
  }
}

/** `msec agreement …`: terms that their parties and auditors read, and nobody else. */
export function agreementCommands(program: Command): void {
  const agreement = program
    .command("agreement")
    .description("terms of trade between parties: signed by all, read by them and their auditors alone")
    .exitOverride();
  const plain = (name: string, description: string) =>
    agreement
      .command(name)
      .description(description)
      .addOption(new Option("--dir <DIR>", "folder of the city").default(".msec/city").env("MSEC_DIR"))
      .option("--rpc <URL>", "another chain than the city's, with --digests")
      .option("--digests <ADDRESS>", "its AgreementDigests contract")
      .option("--token <ADDRESS>", "its MSecToken contract, where payments are concerned")
      .addOption(new Option("--json", "print JSON for scripts"))
      .exitOverride();
  const command = (name: string, description: string) =>
    plain(name, description)
      .addOption(new Option("--manager <URL>", "your privacy manager: URL or socket").env("MSEC_PRIVACY_MANAGER"))
      .option("--third-party <URL>", "its server for applications, where the manager is a Tessera")
      .addOption(
        new Option("--account <FOLDER>", "folder of your account's key, made on first use")
          .default(".msec/account")
          .env("MSEC_ACCOUNT"),
      );

  command("card", "print what the others need to name you as a party").action((options: DeskOptions) =>
    withDesk(options, async (desk) => {
      const own = await desk.card();
      if (options.json) printJson({ ...own, card: showCard(own) });
      else print(showCard(own));
    }),
  );

  command("propose", "propose terms, an amendment or a counter-proposal; you sign what you propose")
    .requiredOption("--terms <FILE>", "the terms, as text")
    .option("--with <CARD>", "another party, once each", cards)
    .option("--auditor <CARD>", "who reads everything and writes nothing, once each", cards)
    .option("--amend <ID>", "the agreement that is amended or countered; all of its parties must sign")
    .option("--days <N>", "how long it lasts once signed", "365")
    .option("--notice <N>", "days from a party's notice to the end", "30")
    .option("--sign-within <N>", "days in which all must sign", "14")
    .option(
      "--contract",
      "keep it in a private contract as well: GoQuorum, with --rpc the node beside your manager",
      false,
    )
    .action(
      async (
        options: DeskOptions & {
          terms: string;
          with?: Card[];
          auditor?: Card[];
          amend?: string;
          days: string;
          notice: string;
          signWithin: string;
          contract: boolean;
        },
      ) => {
        let terms: string;
        try {
          terms = readFileSync(options.terms, "utf8");
        } catch (error) {
          throw new Problem(`cannot read the terms: ${(error as Error).message}`, 2);
        }
        if (terms === "") throw new Problem(`${options.terms} is empty`, 2);
        if (!options.with?.length) throw new Problem("name the other party with --with CARD", 2);
        const now = Date.now();
        const deadline = now + days(options.signWithin, "--sign-within");
        const offer = {
          ...{ terms, parties: options.with, auditors: options.auditor ?? [], deadline, contract: options.contract },
          endMs: deadline + days(options.days, "--days"),
          noticeMs: days(options.notice, "--notice"),
        };
        await withDesk(options, async (desk) => {
          const id = await desk.propose(offer, options.amend);
          const state = await desk.agreement(id);
          show(state, options.json, { contract: (await desk.contract(state)) ?? null });
        });
      },
    );

  command("sign", "sign the open proposal; whoever signs last anchors the digest")
    .argument("<ID>", "the agreement, or how its id begins")
    .requiredOption("--digest <DIGEST>", "of the version that you have read, or how it begins")
    .action((id: string, options: DeskOptions & { digest: string }) =>
      withDesk(options, async (desk) => {
        const state = await desk.sign(id, options.digest);
        const anchoredMs = state.active ? await desk.anchoredAt(state.active.digest) : 0;
        show(state, options.json, { anchoredMs, contract: (await desk.contract(state)) ?? null });
        if (!options.json && anchoredMs > 0) print(good(`anchored ${time(anchoredMs)}`));
      }),
    );

  command(
    "pay",
    "pay another party under what is in force; the payment and the digest in it are public, nothing else is",
  )
    .argument("<ID>", "the agreement, or how its id begins")
    .requiredOption("--amount <UNITS>", "in the token's smallest units")
    .option("--to <ACCOUNT>", "which party, where there are more than two")
    .action((id: string, options: DeskOptions & { amount: string; to?: string }) =>
      withDesk(options, async (desk, token) => {
        const to = options.to === undefined ? {} : { to: addressOf(options.to, "--to") };
        const amount = amountOf(options.amount, "--amount");
        const paid = await desk.pay(id, { token: tokenOf(token), amount, ...to });
        if (options.json) return printJson({ ...paid, amount: String(amount) });
        print(good(`paid ${amount} to ${paid.to} in ${paid.hash}`));
        if (paid.resumed) print(warn("it was the payment that was cut off before: pay again if a second one is meant"));
      }),
    );

  plain("payments", "payments under a digest, as anybody sees them")
    .argument("<DIGEST>", "as anchored")
    .action((digest: string, options: ChainOptions) =>
      withChain(options, async ({ provider, digests, token }) => {
        if (!/^0x[0-9a-f]{64}$/.test(digest)) throw new Problem(`${digest} is no digest`, 2);
        const found = await paymentsOf({ provider, digests, token: tokenOf(token) }, digest as Hex);
        if (options.json) return printJson(found.map((payment) => ({ ...payment, amount: String(payment.amount) })));
        table(
          ["time", "from", "to", "units", "transaction"],
          found.map((p) => [time(p.atMs), p.from, p.to, String(p.amount), p.hash]),
        );
      }),
    );

  command("notice", "give notice of what is in force")
    .argument("<ID>", "the agreement, or how its id begins")
    .action((id: string, options: DeskOptions) =>
      withDesk(options, async (desk) => show(await desk.giveNotice(id), options.json)),
    );

  command("list", "the agreements that you are a party to or audit").action((options: DeskOptions) =>
    withDesk(options, async (desk) => {
      const all = [...(await desk.agreements()).values()].map(summary);
      if (options.json) return printJson(all);
      table(
        ["agreement", "state", "version", "missing signatures", "ends"],
        all.map((a) => [
          a.id,
          a.state,
          (a.active ?? a.open)?.version ?? "",
          a.open?.missing.map(short).join(", ") ?? "",
          a.ends ?? "",
        ]),
      );
    }),
  );

  command("show", "read an agreement: terms, parties, signatures")
    .argument("<ID>", "the agreement, or how its id begins")
    .option("--out <FILE>", "write what is in force as a file that proves itself, for a court or an auditor")
    .action((id: string, options: DeskOptions & { out?: string }) =>
      withDesk(options, async (desk) => {
        const state = await desk.agreement(id);
        if (options.out)
          writeFileSync(options.out, `${JSON.stringify(desk.signed(state), null, 2)}\n`, { mode: 0o600 });
        const anchoredMs = state.active ? await desk.anchoredAt(state.active.digest) : 0;
        show(state, options.json, { anchoredMs, contract: (await desk.contract(state)) ?? null });
        if (options.json) return;
        if (state.active) print(anchoredMs ? `anchored ${time(anchoredMs)}` : "not anchored: sign again to anchor it");
      }),
    );

  command("share", "give what is in force to somebody else, sealed to them; it proves itself")
    .argument("<ID>", "the agreement, or how its id begins")
    .requiredOption("--to <CARD>", "whom, once each", cards)
    .action((id: string, options: DeskOptions & { to: Card[] }) =>
      withDesk(options, async (desk) => {
        await desk.share(id, options.to);
        if (options.json) printJson({ shared: options.to.map(showCard) });
        else print(good(`shared with ${options.to.map(({ account }) => account).join(", ")}`));
      }),
    );

  command("resume", "send what was cut off, and bring private contracts level").action((options: DeskOptions) =>
    withDesk(options, async (desk) => {
      const sent = await desk.resume();
      await desk.catchUp();
      if (options.json) printJson({ sent });
      else print(sent === 0 ? "nothing was left to send" : good(`sent ${sent} messages`));
    }),
  );

  plain("verify", "check a file of show --out: that all parties signed it, and when it was anchored; exit 1 if not")
    .argument("<FILE>", "the file")
    .action((file: string, options: ChainOptions) =>
      withChain(options, async ({ provider, digests, digestsAddress, token, chainId }) => {
        let json: unknown;
        try {
          json = JSON.parse(readFileSync(file, "utf8"));
        } catch (error) {
          throw new Problem(`cannot read ${file}: ${(error as Error).message}`, 2);
        }
        const parsed = signedVersion.safeParse(json);
        if (!parsed.success) throw new Problem(`${file} is no signed agreement: ${parsed.error.issues[0]?.message}`, 2);
        const result = await checkSigned(digests, digestsDomain(chainId, digestsAddress), parsed.data);
        if (result.anchoredMs === 0) process.exitCode = 1;
        const { parties } = parsed.data.agreement;
        const all = token && result.anchoredMs > 0 ? await paymentsOf({ provider, digests, token }, result.digest) : [];
        // Anybody may name a digest in a transfer.
        const payments = all
          .filter(({ from, to }) => parties.includes(from) && parties.includes(to))
          .map((payment) => ({ ...payment, amount: String(payment.amount) }));
        if (options.json) return printJson({ ...result, parties, payments });
        print(good(`signed by ${parties.join(", ")}`));
        print(
          result.anchoredMs ? `anchored ${time(result.anchoredMs)}` : "its digest is not anchored: no time is proved",
        );
        for (const p of payments) print(`paid ${p.amount} units by ${p.from} to ${p.to}, ${time(p.atMs)}`);
      }),
    );
}
