import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeJson } from "@msec/service";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { initNetwork, type NewNode } from "./init.ts";
import { admitNode, invite, joinNetwork, type NodeCard } from "./join.ts";
import { enodeOf, NetworkFolder, openNodeKey, readPlan } from "./network.ts";

const options = { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 };
const newcomer: NewNode = { validator: true, host: "127.0.0.1", member: true };
let home: string;
let founders: string;
beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), "msec-join-"));
  founders = join(home, "founders");
  await initNetwork(founders, options);
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

const json = <T>(file: string) => JSON.parse(readFileSync(file, "utf8")) as T;
const digest = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

function invitation(): string {
  const file = join(home, "invitation.json");
  writeJson(file, invite(founders));
  return file;
}

async function joined(
  name: string,
  given = newcomer,
  by = invitation(),
): Promise<{ root: string; card: NodeCard; file: string }> {
  const root = join(home, name);
  const card = await joinNetwork(root, by, given);
  return { root, card, file: new NetworkFolder(root).card };
}

describe("a node that joins", () => {
  it("has the network's genesis, all others as peers and parties, and a key of its own", async () => {
    const { root, card } = await joined("five");
    const [own, theirs] = [new NetworkFolder(root), new NetworkFolder(founders)];
    expect(card.node).toMatchObject({ name: "node-5", validator: true, host: "127.0.0.1" });
    expect(readFileSync(own.genesis)).toEqual(readFileSync(theirs.genesis));
    expect(readPlan(own).nodes).toEqual([...readPlan(theirs).nodes, card.node]);
    expect(json(join(own.data("node-5"), "static-nodes.json"))).toEqual(readPlan(own).nodes.map(enodeOf));
    expect(json<object[]>(own.parties)).toEqual([...json<object[]>(theirs.parties), card.party]);
    expect(openNodeKey(own, "node-5")).toHaveLength(32);
    expect(readdirSync(join(root, "nodes"))).toEqual(["node-5"]);
    expect(json(own.card)).toEqual(card);
  });

  it("is taken in by the others: same plan, same list of parties byte for byte; twice is like once", async () => {
    const { root, card, file } = await joined("five");
    const [own, theirs] = [new NetworkFolder(root), new NetworkFolder(founders)];
    for (let i = 0; i < 2; i++) {
      expect(await admitNode(founders, file)).toEqual({ node: card.node, unaware: [] });
      expect(readPlan(theirs)).toEqual(readPlan(own));
      expect(digest(theirs.parties)).toBe(digest(own.parties));
      for (const { name } of readPlan(theirs).nodes.slice(0, 4))
        for (const list of ["static-nodes.json", "permissioned-nodes.json"])
          expect(json<string[]>(join(theirs.data(name), list))).toContain(enodeOf(card.node));
    }
    expect(existsSync(theirs.node("node-5"))).toBe(false);
  });

  it("comes to one list in whatever order two of them are taken in", async () => {
    const five = await joined("five");
    await admitNode(founders, five.file);
    const six = await joined("six", { ...newcomer, validator: false });
    await admitNode(founders, six.file);
    await admitNode(five.root, six.file);
    const roots = [founders, five.root, six.root].map((root) => new NetworkFolder(root));
    expect(new Set(roots.map(({ parties }) => digest(parties))).size).toBe(1);
    for (const folder of roots) expect(readPlan(folder)).toEqual(readPlan(roots[0] as NetworkFolder));
  });

  it("is let in by a network that follows a Directory only through it", async () => {
    const folder = new NetworkFolder(founders);
    writeJson(folder.plan, { ...readPlan(folder), directory: `0x${"11".repeat(20)}` });
    const { card, file } = await joined("five");
    expect(card.node.keeper).toBeGreaterThan(0);
    await admitNode(founders, file);
    expect(json<string[]>(join(folder.data("node-1"), "permissioned-nodes.json"))).not.toContain(enodeOf(card.node));
    expect(readPlan(folder).nodes).toContainEqual(card.node);
  });
});

describe("nothing is changed", () => {
  const refused = async (work: Promise<unknown>, why: RegExp) => {
    const folder = new NetworkFolder(founders);
    const before = [digest(folder.plan), digest(folder.parties)];
    await expect(work).rejects.toThrow(why);
    expect([digest(folder.plan), digest(folder.parties)]).toEqual(before);
    expect(existsSync(`${folder.parties}.next`)).toBe(false);
  };

  it("by a join into a folder that holds a network, with no invitation, or where nobody could reach the node", async () => {
    await refused(joinNetwork(founders, invitation(), newcomer), /there is a network in .* already/);
    const file = join(home, "nonsense.json");
    await refused(joinNetwork(join(home, "x"), file, newcomer), /is no invitation, as msec network invite writes it/);
    writeFileSync(file, "{}");
    await refused(joinNetwork(join(home, "x"), file, newcomer), /is no invitation/);
    await refused(joined("x", { ...newcomer, host: "10.0.0.5" }), /node-1 is on loopback/);
    const tessera = { q2t: "http://127.0.0.1:1", thirdParty: "http://127.0.0.1:2" };
    await refused(joined("x", { validator: true, host: "127.0.0.1", tessera }), /can't exchange payloads/);
    expect(existsSync(join(home, "x"))).toBe(false);
  });

  it("by a card that was made from an old invitation, altered, or lacks its party", async () => {
    const old = invitation();
    const five = await joined("five", newcomer, old);
    const late = await joined("late", newcomer, old);
    await admitNode(founders, five.file);
    await refused(admitNode(founders, late.file), /another node is named node-5 here: it has to join again/);
    const altered = (change: (card: NodeCard) => object) => {
      const file = join(home, "altered.json");
      writeJson(file, change(structuredClone(late.card)));
      return admitNode(founders, file);
    };
    const asSix = ({ node, party }: NodeCard) => ({ node: { ...node, name: "node-6" }, party });
    await refused(altered(asSix), /no entry for the privacy manager of node-6/);
    const named = (card: NodeCard) => ({ ...asSix(card), party: { ...card.party, name: "node-6" } });
    await refused(altered(named), /the party of the card is not usable: .*node-6 is not signed/);
    await refused(
      altered(({ node }) => ({ node: asSix({ node }).node })),
      /no entry for the privacy manager/,
    );
    const other = five.card.node.address;
    await refused(
      altered((card) => ({ ...card, node: { ...card.node, address: other } })),
      /address of another key/,
    );
    const taken = readPlan(new NetworkFolder(founders)).nodes[0]?.p2p as number;
    const crowded = ({ node, party }: NodeCard) => ({ node: { ...node, name: "node-6", p2p: taken }, party });
    await refused(altered(crowded), /node-1 is at 127.0.0.1:\d+ already/);
    await refused(
      altered(({ node }) => ({ node: { ...node, host: "nowhere" } })),
      /is no card of a node/,
    );
  });
});
