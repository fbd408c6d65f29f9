import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describeError, Sender } from "@msec/chain";
import {
  BACKUP_MS,
  decodeBundle,
  type Hex,
  ProtocolError,
  streamOf,
  purposeHash,
  verify,
  type WindowReport,
  ZERO_ADDRESS,
} from "@msec/core";
import { csvOf, type StreamInfo } from "@msec/trade";
import { type TransactionReceipt } from "ethers";
import { Command, CommanderError, Option } from "commander";
import { amountOf } from "./amount.ts";
import { agreementCommands } from "./agreement/commands.ts";
import { type Network, NETWORKS } from "./city/chain.ts";
import { RESEARCH } from "./city/consent.ts";
import { cityPlans } from "./city/plans.ts";
import { people } from "./city/layout.ts";
import { runningCity, up } from "./city/up.ts";
import { type Common, openSession, type Session, withSession } from "./context.ts";
import { checkContracts, handOverCity } from "./contracts.ts";
import {
  attestDevice,
  describeDevice,
  enrolDevice,
  explainDevice,
  quarantineDevice,
  renewDevice,
  rotateDevice,
  STATUS,
} from "./device.ts";
import { demo, purchaseStory, shopOf, Story, writePurchase } from "./demo.ts";
import { disputeCommands } from "./dispute/commands.ts";
import { discloseReading } from "./disclose.ts";
import { buy, resume, unfinishedPurchases } from "./market/buy.ts";
import { listOffers } from "./market/offers.ts";
import {
  change,
  describeSubscription,
  fetchBatches,
  keptSubscription,
  keptSubscriptions,
  listSubscriptionOffers,
  subscribe,
  topUp,
  withdraw,
} from "./market/subscribe.ts";
import { addNetworkCommands } from "./network.ts";
import { bad, bold, dim, good, print, printJson, short, table, time, tokens, warn } from "./output.ts";
import { seriesOf, svgPlot, textPlot } from "./plot.ts";
import { Problem, problemOf } from "./problem.ts";
import { type DescribeFlags, descriptionFrom } from "./place.ts";
import { slotsBetween, slotsToErase } from "./slots.ts";
import { type VerifyFlags, verifyFile } from "./verify.ts";

const MODES = ["open", "sealed", "dataset"];

const program = new Command("msec")
  .description("M-Sec: city data that can be proved, sold and forgotten")
  .version("0.1.0")
  .showHelpAfterError("(msec COMMAND --help explains a command)")
  .addHelpText(
    "after",
    `
Start here:
  msec up                          bring a city up and watch the first sale
  msec offers                      what can be bought in it
  msec buy park-north/air          buy everything measured so far
  msec verify proof.json --offline prove what was bought, with no city at all`,
  );

const dirOption = () => new Option("--dir <DIR>", "folder of the city").default(".msec/city").env("MSEC_DIR");
const networkOption = () =>
  new Option("--network <NAME>", "what a new city's contracts live on (default: embedded)").choices(NETWORKS);
const jsonOption = () => new Option("--json", "print JSON for scripts");

function command(name: string, description: string): Command {
  return program.command(name).description(description).addOption(dirOption()).addOption(jsonOption()).exitOverride();
}

command("up", "bring up an embedded city on recorded data; it stays up until Ctrl-C and goes on where it was")
  .option("--no-purchase", "do not make the first purchase")
  .addOption(networkOption())
  .action(async ({ dir, json, purchase, network }: Common & { purchase: boolean; network?: Network }) => {
    const root = resolve(dir);
    const started = Date.now();
    const again = existsSync(join(root, "deployment.json"));
    if (!json) print(bold(again ? `The city in ${dir} comes up again` : `A new city in ${dir}`));
    const city = await up(root, cityPlans(), {
      ...(network ? { network } : {}),
      pages: true,
      progress: (line) => !json && print(dim(`  ${((Date.now() - started) / 1000).toFixed(1).padStart(5)} s  ${line}`)),
      onExit: (name, code, signal) =>
        process.stderr.write(
          `${warn(`${name} ended (${signal ?? code}): started again`)}; see ${join(root, "logs", `${name}.log`)}\n`,
        ),
    });
    let stopping = false;
    const stop = async () => {
      if (stopping) return;
      stopping = true;
      if (!json) print(dim("\nstopping …"));
      await city.stop();
      process.exit(0);
    };
    process.on("SIGINT", () => void stop());
    process.on("SIGTERM", () => void stop());
    const seconds = (Date.now() - started) / 1000;
    if (json) printJson({ up: true, seconds, ...city.run });
    else {
      print(good(`up after ${seconds.toFixed(1)} s`));
      table(
        ["", "where"],
        [
          ...city.run.operators.map((o) => [o.name, `${o.url}/health`]),
          ...city.run.markets.map((m) => [m.name, `${m.url}/health`]),
          [city.run.chain.network === "quorum" ? "chain (GoQuorum)" : "chain", city.run.chain.rpc],
          ["broker", city.run.broker],
          ["indexer", `${city.run.indexer}/openapi.json`],
          ["marketplace", city.run.marketplace ?? ""],
        ],
      );
      print();
    }
    if (purchase && !stopping) {
      const story = new Story(json);
      const out = join(root, "bought");
      const park = city.devices[0]?.streams[0]?.streamId as Hex;
      try {
        const done = await purchaseStory(shopOf(city, story.tell), park, 48, out, story);
        if (json) printJson({ steps: story.steps, deal: done.dealId, out });
        else {
          print();
          for (const line of textPlot(seriesOf(done.bundle.stream.schema, done.report.rows))) print(line);
          print(`\nbought.csv, bought.svg and proof.json are in ${out}`);
          print(
            `Try it yourself in another terminal: ${bold("npx msec verify")} ${join(dir, "bought/proof.json")} --offline`,
          );
        }
      } catch (error) {
        if (stopping) return;
        process.stderr.write(`${bad((error as Error).message)}\n`);
      }
    }
    if (!json) print(dim("The city stays up until Ctrl-C."));
  });

command("demo", "one pass in a city of its own: measure, anchor, buy, verify; results in a folder")
  .requiredOption("--out <DIR>", "folder for bought.csv, bought.svg, proof.json and report.json")
  .option("--csv <FILE>", "sell your own file instead: CSV with a header and a time column")
  .addOption(networkOption())
  .action(async ({ out, csv, network, json }: Common & { out: string; csv?: string; network?: Network }) => {
    const summary = await demo({ out, ...(csv ? { csv } : {}), ...(network ? { network } : {}), quiet: Boolean(json) });
    if (json) printJson(summary);
    else print(good(`done in ${String(summary.seconds)} s: see ${out}`));
  });

command("status", "how the operators are").action(async ({ dir, json }: Common) => {
  const session = openSession(dir);
  try {
    const states = await Promise.all(
      session.run.operators.map(async ({ name, url }) => {
        try {
          return (await (await fetch(`${url}/status`, { signal: AbortSignal.timeout(3000) })).json()) as Record<
            string,
            unknown
          > & { problems: string[] };
        } catch {
          return { name, healthy: false, problems: ["does not answer"] } as Record<string, unknown> & {
            problems: string[];
          };
        }
      }),
    );
    if (json) printJson({ operators: states, processes: session.run.processes });
    else {
      const rows = states.map((s) => [
        s.name,
        s.healthy ? "healthy" : "attention",
        s.epoch ?? "",
        s.packs ?? "",
        s.readings ?? "",
        s.pending ?? "",
        s.erasureRoot === "file" ? "file (weaker)" : (s.erasureRoot ?? ""),
        s.problems.join("; "),
      ]);
      table(["operator", "state", "epoch", "packs", "readings", "waiting", "erasure root", "problems"], rows);
    }
    if (states.some((s) => !s.healthy)) process.exitCode = 1;
  } finally {
    session.close();
  }
});

command("devices", "devices as the registry has them").action(async ({ dir, json }: Common) => {
  const session = openSession(dir);
  try {
    const rows = await Promise.all(
      session.run.devices.map(async (device) => {
        const view = await session.contracts.DeviceRegistry.device(device.deviceId);
        return {
          name: device.name,
          deviceId: device.deviceId,
          status: STATUS[Number(view.status)],
          secureElement: Number(view.assurance) === 2 ? "TPM" : "software",
          owner: view.owner,
          keyEpoch: Number(view.keyEpoch),
          streams: device.streams,
        };
      }),
    );
    if (json) printJson(rows);
    else
      table(
        ["device", "id", "status", "secure element", "owner", "streams"],
        rows.map((r) => [
          r.name,
          short(r.deviceId),
          r.status,
          r.secureElement,
          short(r.owner),
          r.streams.map((s) => s.name).join(", "),
        ]),
      );
  } finally {
    session.close();
  }
});

addNetworkCommands(program);

const device = program
  .command("device")
  .description("enrol, attest, rotate, renew, quarantine and explain a device")
  .exitOverride();

function deviceCommand(name: string, description: string): Command {
  return device.command(name).description(description).addOption(dirOption()).addOption(jsonOption()).exitOverride();
}

deviceCommand("enrol", "enrol the device of a configuration file; the city becomes its owner")
  .argument("<CONFIG>", "the device's configuration; its agent must not be running")
  .action((file: string, options: Common) =>
    withSession(
      options,
      (session) => enrolDevice(session, file),
      ({ deviceId, transactions }) =>
        print(good(transactions === 0 ? `${deviceId} was enrolled before` : `enrolled as ${deviceId}`)),
    ),
  );

deviceCommand("attest", "have the registrars challenge a device's TPM and report what it booted")
  .argument("<DEVICE>", "name or id")
  .action((name: string, options: Common) =>
    withSession(
      options,
      (session) => attestDevice(session, name),
      ({ tpm, pcrDigest, resetCount, clockSafe }) => {
        print(good(`${name} answered every registrar's challenge`));
        print(`  TPM            ${tpm.manufacturer} ${tpm.model} ${tpm.version}`);
        print(`  booted         ${pcrDigest}, as the boot policy accepts`);
        print(`  starts         ${resetCount}${clockSafe ? "" : "; its clock was not shut down in order"}`);
      },
    ),
  );

deviceCommand("rotate", "give a device a new signing key")
  .argument("<DEVICE>", "name or id")
  .option("--revoke", "take nothing any more that the old key signed", false)
  .action((name: string, options: Common & { revoke: boolean }) =>
    withSession(
      options,
      (session) => rotateDevice(session, name, options.revoke),
      ({ keyEpoch, keyHash }) => print(good(`${name} signs with key ${keyEpoch} (${short(keyHash)}) from now on`)),
    ),
  );

deviceCommand("renew", "give a device whose TPM was cleared a new key; its streams begin anew")
  .argument("<DEVICE>", "name or id")
  .action((name: string, options: Common) =>
    withSession(
      options,
      (session) => renewDevice(session, name),
      ({ keyEpoch, keyHash, setAside }) => {
        print(good(`${name} signs with key ${keyEpoch} (${short(keyHash)}) from now on`));
        if (setAside) print(`  what the cleared TPM had sealed is in ${setAside}`);
        print("  its new streams are offered at the next start of the city");
      },
    ),
  );

deviceCommand("describe", "say where a device stands and what it is, signed by its owner; it then stands on the map")
  .argument("<DEVICE>", "name or id")
  .option("--at <LAT,LON>", "degrees, such as 43.4728,-3.8002")
  .option("--altitude <METRES>", "above the sea")
  .option("--accuracy <METRES>", "how far off the place may be")
  .option("--place <NAME>", "what people call the place")
  .option("--nowhere", "take the place back", false)
  .option("--precise", "the place of a sealed stream as it is: left out, it is rounded to about a kilometre", false)
  .option("--model <TEXT>", "what kind of device it is")
  .option("--calibrated <DATE>", "day of the last calibration, such as 2026-05-31")
  .option("--note <TEXT>", "how it was calibrated")
  .option("--sample <FROM/TO>", "a period of its open streams that anybody may open without paying")
  .option("--no-sample", "take the sample back; whoever opened it keeps it")
  .action((name: string, options: Common & DescribeFlags) =>
    withSession(
      options,
      (session) => describeDevice(session, name, descriptionFrom(options)),
      (said) => {
        for (const { stream, version, took, of, thing } of said) {
          print(good(`${stream}: description ${version}, taken by ${took} of ${of} operators`));
          const { place, sample } = thing;
          if (sample) print(`  anybody may open its slots ${sample.fromSlot} to ${sample.toSlot}`);
          if (place)
            print(
              `  ${place.latitude}, ${place.longitude}${place.accuracy === undefined ? "" : `, within ${place.accuracy} m`}`,
            );
        }
      },
    ),
  );

deviceCommand("quarantine", "take nothing of a device any more; what was anchored before stays provable")
  .argument("<DEVICE>", "name or id")
  .option("--release", "take it in again", false)
  .action((name: string, options: Common & { release: boolean }) =>
    withSession(
      options,
      (session) => quarantineDevice(session, name, options.release),
      ({ status, block }) => print(good(`${name} is ${status} since block ${block}`)),
    ),
  );

deviceCommand("explain", "why a device is or is not believed: exit 0 if it is, 1 if not")
  .argument("<DEVICE>", "name or id")
  .action((name: string, options: Common) =>
    withSession(
      options,
      async (session) => {
        const explanation = await explainDevice(session, name);
        if (!explanation.believed) process.exitCode = 1;
        return explanation;
      },
      ({ deviceId, believed, findings, evidence }) => {
        print(believed ? good(`${name} is believed`) : bad(`${name} is not believed`));
        print(dim(`  ${deviceId}`));
        for (const finding of findings) print(`  ${finding.good ? good("✓") : bad("✗")} ${finding.text}`);
        print(dim(`  the evidence: ${JSON.stringify(evidence)}`));
      },
    ),
  );

command("streams", "streams and how far they are anchored").action(async ({ dir, json }: Common) => {
  const session = openSession(dir);
  try {
    const rows = await Promise.all(
      session.run.devices
        .flatMap((d) => d.streams)
        .map(async ({ streamId, name }) => ({ name, streamId, ...(await session.operators.stream(streamId)) })),
    );
    if (json) printJson(rows);
    else
      table(
        ["stream", "id", "mode", "slot", "packs", "newest", "waiting", "erased"],
        rows.map((r) => [
          r.name,
          short(r.streamId),
          MODES[r.preimage.mode],
          `${r.preimage.slotSeconds} s`,
          r.head?.seq ?? 0,
          r.head ? time(r.head.toMs) : "",
          r.pending,
          r.erasures.length,
        ]),
      );
  } finally {
    session.close();
  }
});

command("offers", "what can be bought").action(async ({ dir, json }: Common) => {
  const session = openSession(dir);
  try {
    const offers = await listOffers(session.contracts);
    const names = new Map(session.run.devices.flatMap((d) => d.streams).map((s) => [s.streamId, s.name]));
    if (json) printJson(offers.map((o) => ({ name: names.get(o.streamId), ...o })));
    else
      table(
        ["stream", "offer", "price", "per", "bond", "delivered within", "complain within", "state"],
        offers.map((o) => [
          names.get(o.streamId) ?? short(o.streamId),
          short(o.offerId),
          tokens(o.unitPrice),
          o.stream.mode === 1 ? "pack" : "reading",
          tokens(o.bond),
          `${o.deliverSeconds} s`,
          `${o.complainSeconds} s`,
          o.open ? "open" : "closed",
        ]),
      );
  } finally {
    session.close();
  }
});

command("buy", "buy a window of a stream: pay, get the keys, verify, save")
  .argument("[STREAM]", "name or id of the stream; left out: go on with purchases that were cut off")
  .option("--from <TIME>", "first time, such as 2004-03-10 or 2004-03-10T18:00 (UTC)")
  .option("--to <TIME>", "last time")
  .option("--purpose <TEXT>", "what the data is for, in the words that its owner consented to", RESEARCH.text)
  .option("--out <DIR>", "folder for bought.csv, bought.svg and proof.json", "bought")
  .action(
    async (
      name: string | undefined,
      options: Common & { from?: string; to?: string; purpose: string; out: string },
    ) => {
      const { dir, json, out } = options;
      const story = new Story(json);
      const session = openSession(dir, story.tell);
      try {
        const results = [];
        if (name === undefined) {
          const cut = unfinishedPurchases(session.purchases);
          if (cut.length === 0) throw new Problem("no purchase was cut off; to buy, name a stream: see msec offers", 2);
          for (const id of cut) results.push(await resume(session, id));
        } else {
          const known = session.run.devices
            .flatMap((d) => d.streams)
            .find((s) => s.name === name || s.streamId === name);
          if (!known) throw new Problem(`no stream ${name}: see msec streams`, 2);
          const offer = (await listOffers(session.contracts))
            .filter((o) => o.streamId === known.streamId && o.open)
            .pop();
          if (!offer) throw new Problem(`nobody offers ${name}: see msec offers`);
          const [from, to] = slotsBetween(await session.operators.stream(known.streamId), options.from, options.to);
          const purpose = purposeHash({ ...RESEARCH, text: options.purpose });
          results.push(await buy(session, offer, from, to, purpose));
        }
        for (const purchase of results) {
          const folder = results.length > 1 ? join(out, purchase.dealId) : out;
          writePurchase(folder, purchase);
          const { rows, claims: _, ...report } = purchase.report;
          if (json)
            printJson({
              deal: purchase.dealId,
              transaction: purchase.tx,
              price: purchase.deal.price,
              out: resolve(folder),
              report,
            });
          else {
            print();
            for (const line of textPlot(seriesOf(purchase.bundle.stream.schema, rows))) print(line);
            print(
              good(`\n${report.readings} readings verified; bought.csv, bought.svg and proof.json are in ${folder}`),
            );
          }
        }
      } finally {
        session.close();
      }
    },
  );

command("subscribe", "subscribe to a live stream: batches of slots are delivered and paid one by one")
  .argument("<STREAM>", "name or id of the stream")
  .requiredOption("--deposit <UNITS>", "what batches are paid from; the rest can be taken back at any time")
  .option("--purpose <TEXT>", "what the data is for, in the words that its owner consented to", RESEARCH.text)
  .action(async (name: string, options: Common & { deposit: string; purpose: string }) => {
    const deposit = amountOf(options.deposit, "--deposit");
    const story = new Story(options.json);
    const session = openSession(options.dir, story.tell);
    try {
      const known = session.run.devices.flatMap((d) => d.streams).find((s) => s.name === name || s.streamId === name);
      if (!known) throw new Problem(`no stream ${name}: see msec streams`, 2);
      const offers = await listSubscriptionOffers(session.contracts);
      const offer = offers.filter((o) => o.streamId === known.streamId).pop();
      if (!offer) throw new Problem(`nobody offers subscriptions to ${name}`);
      const purpose = purposeHash({ ...RESEARCH, text: options.purpose });
      const kept = await subscribe(session, offer, deposit, purpose);
      if (options.json) return printJson(await describeSubscription(session, kept));
      print(good(`subscribed: ${kept.id}`));
      print(dim(`  look at each batch within ${offer.complainSeconds} s of its delivery: msec subscription fetch`));
    } finally {
      session.close();
    }
  });

const SUBSCRIPTION_ACTIONS = ["list", "fetch", "hold", "resume", "top-up", "end"];

command("subscription", "what to do with a subscription: list, fetch, hold, resume, top-up or end")
  .argument("<ACTION>", SUBSCRIPTION_ACTIONS.join(", "))
  .argument("[ID]", "the subscription; may be left out if there is one")
  .option("--amount <UNITS>", "of top-up")
  .addHelpText(
    "after",
    `
  fetch    open and verify every delivered batch; one that is wrong is proved so to the contract at once
  hold     no batch that is not over yet is delivered; what is over may still come
  resume   go on with the next batch that begins
  end      take back what batches that are over can't cost any more, and what is owed`,
  )
  .action(async (action: string, id: string | undefined, options: Common & { amount?: string }) => {
    if (!SUBSCRIPTION_ACTIONS.includes(action))
      throw new Problem(`msec subscription takes ${SUBSCRIPTION_ACTIONS.join(", ")}, not ${action}`, 2);
    const amount = action === "top-up" ? amountOf(options.amount, "--amount") : 0n;
    const story = new Story(options.json);
    const session = openSession(options.dir, story.tell);
    const { json } = options;
    try {
      if (action === "list") {
        const all = keptSubscriptions(session.subscriptions);
        const rows = await Promise.all(
          all.map((one) => describeSubscription(session, keptSubscription(session.subscriptions, one))),
        );
        if (json) return printJson(rows);
        return table(
          ["subscription", "stream", "state", "balance", "paid until"],
          rows.map((r) => [
            r.id,
            short(r.streamId),
            r.phase,
            tokens(r.balance),
            r.paidUntil === null ? "" : time(r.paidUntil),
          ]),
        );
      }
      const kept = keptSubscription(session.subscriptions, id);
      if (action === "fetch") {
        const { batches, refuted } = await fetchBatches(session, kept);
        if (refuted.length > 0) process.exitCode = 1;
        if (json)
          return printJson({
            batches: batches.map(({ report, ...b }) => ({ ...b, packs: report?.packs, readings: report?.readings })),
            refuted,
          });
        if (batches.length + refuted.length === 0) print("nothing new was delivered");
        for (const b of batches)
          print(
            b.folder
              ? good(`batch ${b.number}: ${b.slots} slots for ${b.price} units, proof.json in ${b.folder}`)
              : `batch ${b.number}: its key is right; fetch again once the stream has gone on`,
          );
        for (const { number, fault } of refuted) print(bad(`batch ${number}: ${fault}`));
        return;
      }
      if (action === "top-up") await topUp(session, kept, amount);
      else await change(session, kept, action as "hold" | "resume" | "end");
      const paid = action === "end" ? await withdraw(session, kept.terms.token as Hex) : 0n;
      const now = await describeSubscription(session, kept);
      if (json) return printJson({ ...now, paid });
      print(
        good(`${now.phase}: ${now.balance} units are deposited${action === "end" ? `, ${paid} were paid back` : ""}`),
      );
    } finally {
      session.close();
    }
  });

const collect = (value: string, before: string[]) => [...before, value];

command("verify", "prove a bundle: exit 0 proved, 1 refused, 2 wrong use")
  .argument("<FILE>", "proof.json of a purchase, or a disclosed reading")
  .option("--rpc <URL>", "chain endpoint to check against; give one of each of two organisations", collect, [])
  .option("--offline", "no endpoint: against the committee in the bundle", false)
  .option("--committee <DIGEST>", "accept only this committee")
  .option(
    "--validators <LIST>",
    "accept only what these validators sealed: addresses with commas, or a file with a list",
  )
  .action(async (file: string, options: Common & VerifyFlags) => {
    const { json, committee, validators } = options;
    let { rpc } = options;
    if (rpc.length === 0 && !options.offline) {
      const run = runningCity(resolve(options.dir));
      if (run) rpc = [run.chain.rpc];
    }
    try {
      const { report, basis } = await verifyFile(file, {
        rpc,
        offline: options.offline,
        ...(committee ? { committee } : {}),
        ...(validators ? { validators } : {}),
      });
      if (json) {
        const { claims: _, ...shown } = report;
        return printJson({ proved: true, basis, ...shown, ...("rows" in shown ? { rows: undefined } : {}) });
      }
      print(good("proved"));
      const lines: [string, unknown][] = [
        ["stream", `${report.name} (${report.streamId})`],
        ["device", report.deviceId],
        [
          "anchored",
          `epoch ${report.epoch.number}, closed ${time(report.epoch.closedAt)}, ${report.signers.length} operators signed`,
        ],
      ];
      if (report.kind === "window")
        lines.push(
          [
            "packs",
            `${report.packs} with ${report.readings} readings, complete from slot ${report.fromSlot} to ${report.toSlot}`,
          ],
          ["empty slots", report.emptySlots],
          [
            "gaps",
            report.gaps === 0
              ? 0
              : `${report.gaps}: ${report.breaks.map((b) => `seq ${b.after} to ${b.seq}`).join(", ")}`,
          ],
          ["late", report.lateUnknown ? `${report.late}, not known for ${report.lateUnknown}` : report.late],
          ["recorded data", `${report.recorded} packs`],
          [
            "erased",
            report.erased === 0
              ? 0
              : `${report.erased} packs: their headers stand, their keys and contents are destroyed`,
          ],
        );
      else
        lines.push([
          "reading",
          `${report.index + 1} of ${report.of} in its pack: ${report.row.n} = ${String(report.row.v ?? report.row.vs ?? report.row.vb)} ${report.row.u ?? ""} at ${time(report.row.tMs)}`,
        ]);
      for (const [label, value] of lines) print(`  ${label.padEnd(14)} ${String(value)}`);
      for (const line of basis) print(`  ${dim(line)}`);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      if (json) printJson({ proved: false, code: error.code, reason: error.message });
      else print(`${bad("refused")}  ${error.message} ${dim(`(${error.code})`)}`);
      process.exitCode = 1;
    }
  });

command("contracts", "check a network's contracts, roles and names: exit 0 as the manifest says, 1 not so, 2 wrong use")
  .requiredOption("--rpc <URL>", "chain endpoint to check")
  .option("--manifest <FILE>", "what was deployed (default: manifest.json of the city's folder)")
  .action(async ({ dir, json, rpc, manifest }: Common & { rpc: string; manifest?: string }) => {
    const { file, differences, contracts, founding } = await checkContracts(
      rpc,
      manifest ?? join(resolve(dir), "manifest.json"),
    );
    if (differences.length > 0) process.exitCode = 1;
    if (json) return printJson({ same: differences.length === 0, manifest: file, contracts, founding, differences });
    if (founding) print(warn("the account that deployed still holds the roles, without delay: see msec hand-over"));
    if (differences.length === 0)
      return print(good(`${contracts} contracts, their roles, delays and names are as ${file} and this build say`));
    const show = (value: unknown) => (typeof value === "string" ? value : (JSON.stringify(value) ?? "nothing"));
    for (const { where, what, expected, found } of differences) {
      print(`${bad("differs")}  ${bold(where)}: ${what}`);
      print(`  expected  ${show(expected)}`);
      print(`  found     ${show(found)}`);
    }
  });

command(
  "hand-over",
  "end a city's founding: give its roles to others, with the delays of the table; the founder keeps none",
)
  .argument("<FILE>", 'who shall hold what, in JSON: {"ADMIN": ["0x…"], "GOVERNOR": ["0x…", "0x…"], …}')
  .action((file: string, options: Common) =>
    withSession(
      options,
      (session) => handOverCity(session, file),
      ({ manifest, holders }) => {
        print(good("handed over; the account that deployed holds no role any more"));
        for (const [role, accounts] of Object.entries(holders)) print(`  ${role.padEnd(14)} ${accounts.join(", ")}`);
        print(`  ${dim(`${manifest} says so; publish it`)}`);
      },
    ),
  );

command("erase", "destroy keys and contents: of a period, of a whole stream, or of everything of a person")
  .argument("<STREAM>", "name or id of the stream")
  .option("--from <TIME>", "first time; the slot that it lies in goes whole")
  .option("--to <TIME>", "last time")
  .option("--all", "the whole stream", false)
  .option("--person", "as the person measured: every stream that is bound to the same person, whole", false)
  .action(async (name: string, options: Common & { from?: string; to?: string; all: boolean; person: boolean }) => {
    const session = openSession(options.dir);
    try {
      const known = session.run.devices.flatMap((d) => d.streams).find((s) => s.name === name || s.streamId === name);
      if (!known) throw new Problem(`no stream ${name}: see msec streams`, 2);
      const info = await session.operators.stream(known.streamId);
      const [from, to] = slotsToErase(info, { ...options, all: options.all || options.person });
      const affected = (await session.operators.window(known.streamId, from, to)).packs.filter((p) => !p.erased);
      const receipt = await requestErasure(session, info, known.streamId, [from, to], options.person);
      const { ConsentRegistry } = session.contracts;
      const number = Number(await ConsentRegistry.erasures(known.streamId));
      const holders = session.run.operators.filter((o) => info.holders.holders.includes(o.address));
      const done = await awaitErasure(holders, known.streamId, number);
      const completeAt = await awaitReceipts(session, known.streamId, number);
      const result = {
        stream: known.streamId,
        fromSlot: from,
        toSlot: to,
        packs: affected.length,
        readings: affected.reduce((sum, p) => sum + p.readings, 0),
        transaction: receipt.hash,
        number,
        holders: done,
        complete: completeAt !== undefined,
        lastBackupExpires: time(completeAt ?? Math.max(...done.map((d) => d.keysDestroyedAt)) + BACKUP_MS),
      };
      if (options.json) return printJson(result);
      print(good(`erased ${result.packs} packs with ${result.readings} records, slots ${from} to ${to}`));
      for (const d of done) print(`  ${d.name}: keys destroyed ${time(d.keysDestroyedAt)}`);
      print(
        completeAt === undefined
          ? warn("  not complete on the chain yet: a holder's receipt is missing, it follows by itself")
          : good(`  complete on the chain: all ${done.length} holders have signed`),
      );
      print(
        dim(
          `  backups of the erasure keys are kept at most 7 days: the last has expired by ${result.lastBackupExpires}`,
        ),
      );
      print(
        dim(
          "  what was sold before stays with its buyers; headers and signatures stay, so that other data can still be proved",
        ),
      );
    } finally {
      session.close();
    }
  });

/** Sends the tombstone, as the stream's owner or as the person measured. */
async function requestErasure(
  session: Session,
  info: StreamInfo,
  streamId: Hex,
  slots: [number, number],
  asPerson: boolean,
): Promise<TransactionReceipt> {
  const { ConsentRegistry, DeviceRegistry } = session.contracts;
  const stream = streamOf(info.preimage);
  const { city, citizen, resident } = people(session.layout);
  const who = asPerson
    ? await ConsentRegistry.subjectOf(streamId)
    : await DeviceRegistry.ownerOf(stream.deviceId, stream.ownerEpoch);
  if (asPerson && who === ZERO_ADDRESS)
    throw new Problem("no person is bound to this stream: only a sealed stream has one; erase it with --all", 2);
  const account = [city, citizen, resident].find((a) => a.address === who.toLowerCase());
  if (!account)
    throw new Problem(
      `the key of ${who}, ${asPerson ? "the person measured" : "the stream's owner"}, is not in this city's folder`,
    );
  const data = asPerson
    ? ConsentRegistry.interface.encodeFunctionData("eraseSubject")
    : ConsentRegistry.interface.encodeFunctionData("requestErasure", [stream, ...slots]);
  return new Sender(account.key, session.provider, session.run.chain.chainId)
    .transact({ to: session.deployment.addresses.ConsentRegistry, data })
    .catch((error: unknown) => {
      throw new Problem(`the consent registry refuses the erasure: ${describeError(error)}`);
    });
}

/** When the erasure is complete by the receipts of all holders; undefined where one has not come within a minute. */
async function awaitReceipts(session: Session, streamId: Hex, number: number): Promise<number | undefined> {
  for (const end = Date.now() + 60_000; Date.now() < end; ) {
    const at = Number(await session.contracts.ConsentRegistry.completeAt(streamId, number));
    if (at !== 0) return at;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  return undefined;
}

async function awaitErasure(
  holders: { name: string; url: string }[],
  streamId: Hex,
  number: number,
): Promise<{ name: string; keysDestroyedAt: number }[]> {
  const end = Date.now() + 60_000;
  for (;;) {
    const states = await Promise.all(
      holders.map(async ({ name, url }) => {
        try {
          const info = (await (
            await fetch(`${url}/streams/${streamId}`, { signal: AbortSignal.timeout(3000) })
          ).json()) as { erasures: { number: number; doneAt: number | null }[] };
          return { name, keysDestroyedAt: info.erasures.find((e) => e.number === number)?.doneAt ?? 0 };
        } catch {
          return { name, keysDestroyedAt: 0 };
        }
      }),
    );
    if (states.every((s) => s.keysDestroyedAt > 0)) return states;
    if (Date.now() > end) {
      const away = states.filter((s) => s.keysDestroyedAt === 0).map((s) => s.name);
      throw new Problem(
        `the erasure is on the chain, but ${away.join(", ")} has not confirmed it yet: it will when it is back; ask again with msec streams --json`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

command("export", "take data out of a proof bundle, or disclose one reading of it")
  .argument("<FILE>", "proof.json of a purchase")
  .option("--csv <FILE>", "readings as CSV")
  .option("--svg <FILE>", "readings as a picture")
  .option("--reading <N>", "with --out: a proof of the Nth reading alone, from 1; it reveals no other")
  .option("--out <FILE>", "where the disclosed reading goes")
  .action(async (file: string, options: Common & { csv?: string; svg?: string; reading?: string; out?: string }) => {
    if (!options.csv && !options.svg && !options.reading)
      throw new Problem("say what to export: --csv FILE, --svg FILE, or --reading N --out FILE", 2);
    const bundle = decodeBundle(readText(file));
    if (bundle.format !== "msec.window/1") throw new Problem("only the bundle of a window can be exported from", 2);
    const report = verify(bundle) as WindowReport;
    const written: string[] = [];
    const write = (path: string, text: string) => {
      writeFileSync(path, text);
      written.push(path);
    };
    if (options.csv) write(options.csv, csvOf(bundle.stream.schema, report.rows));
    if (options.svg)
      write(
        options.svg,
        svgPlot(
          report.name,
          `${report.readings} readings, proved by epoch ${report.epoch.number}`,
          seriesOf(bundle.stream.schema, report.rows),
        ),
      );
    if (options.reading) {
      const n = Number(options.reading);
      if (!options.out) throw new Problem("--reading needs --out FILE", 2);
      if (!Number.isInteger(n) || n < 1 || n > report.readings)
        throw new Problem(`there are ${report.readings} readings: --reading takes 1 to ${report.readings}`, 2);
      write(options.out, discloseReading(bundle, n - 1));
    }
    if (options.json) printJson({ written });
    else for (const path of written) print(`wrote ${path}`);
  });

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new Problem(`cannot read ${file}: ${(error as Error).message}`, 2);
  }
}

disputeCommands(program);
agreementCommands(program);

program.exitOverride();
try {
  await program.parseAsync();
} catch (error) {
  const json = process.argv.includes("--json");
  const problem = problemOf(error);
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : 2;
    if (json && error.exitCode !== 0) printJson({ error: error.message.replace(/^error: /, "") });
  } else if (problem) {
    if (json) printJson({ error: problem.message });
    else process.stderr.write(`${bad("msec:")} ${problem.message}\n`);
    process.exitCode = problem.exitCode;
  } else if (error instanceof ProtocolError) {
    if (json) printJson({ error: error.message, code: error.code });
    else process.stderr.write(`${bad("refused:")} ${error.message} (${error.code})\n`);
    process.exitCode = 1;
  } else {
    process.stderr.write(`${bad("msec:")} ${(error as Error).message}\n`);
    if (process.env.MSEC_DEBUG) process.stderr.write(`${(error as Error).stack}\n`);
    process.exitCode = 1;
  }
}
