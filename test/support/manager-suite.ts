import { randomBytes } from "node:crypto";
import { PRIVACY, type PrivacyManager } from "@msec/chain";
import { type Hex, toHex, utf8 } from "@msec/core";
import { beforeAll, describe, expect, test } from "vitest";

/** Managers of three organisations that know one another. */
export interface ThreeManagers {
  a: PrivacyManager;
  b: PrivacyManager;
  c: PrivacyManager;
}

/** What any manager is held to that the client may be given, the project's own and Tessera alike. */
export function managerSuite(
  name: string,
  managers: () => ThreeManagers,
  { mandatoryRecipients = true, groups = true }: { mandatoryRecipients?: boolean; groups?: boolean } = {},
): void {
  describe(name, () => {
    let a: PrivacyManager, b: PrivacyManager, c: PrivacyManager;
    let keyA: string, keyB: string, keyC: string;
    const secret = utf8("price per reading 5");
    const stranger = randomBytes(32).toString("base64");
    const root = randomBytes(32).toString("base64");
    const refusal = (status: number, text = /./) =>
      expect.objectContaining({ name: "PrivacyManagerError", status, message: expect.stringMatching(text) });

    beforeAll(async () => {
      ({ a, b, c } = managers());
      [keyA, keyB, keyC] = (await Promise.all([a, b, c].map(async (m) => (await m.keys())[0]))) as [
        string,
        string,
        string,
      ];
    });

    test("it is up and knows the API that private transactions with every flag need", async () => {
      await a.upcheck();
      expect(await a.version()).not.toBe("");
      expect(await a.apiVersions()).toEqual(expect.arrayContaining(mandatoryRecipients ? ["2.1", "4.0"] : ["2.1"]));
    });

    test("it knows its own keys and those of the parties", async () => {
      expect(await a.partyKeys()).toEqual(expect.arrayContaining([keyA, keyB, keyC]));
    });

    test.skipIf(!groups)("it keeps its own keys in groups", async () => {
      expect((await a.residentGroups()).flatMap((group) => group.members)).toContain(keyA);
    });

    test("a payload reaches its parties, word for word, and nobody else", async () => {
      const { key, sender, managedParties } = await a.send(secret, { to: [keyB] });
      expect([sender, managedParties]).toEqual([keyA, [keyA]]);
      expect(key).toMatch(/^0x[0-9a-f]{128}$/);
      expect(await a.receive(key)).toMatchObject({ payload: secret, sender: keyA, flag: 0, managedParties: [keyA] });
      expect(await b.receive(key)).toMatchObject({ payload: secret, sender: keyA, flag: 0, managedParties: [keyB] });
      expect(await c.receive(key)).toBeUndefined();
    });

    test("the same payload has another key each time, so that nobody can guess it", async () => {
      const [one, two] = await Promise.all([a.send(secret, { to: [keyB] }), a.send(secret, { to: [keyB] })]);
      expect(one.key).not.toBe(two.key);
    });

    test("who sent and who is a party", async () => {
      const { key } = await a.send(secret, { to: [keyB] });
      expect(await Promise.all([a.isSender(key), b.isSender(key)])).toEqual([true, false]);
      expect((await a.participants(key)).sort()).toEqual([keyA, keyB].sort());
      expect(await b.participants(key)).toContain(keyB);
      await expect(c.participants(key)).rejects.toEqual(refusal(404));
    });

    test("a stored payload is its sender's alone until it is sent; then its parties'", async () => {
      const key = await a.storeRaw(secret);
      expect(await a.receive(key, { raw: true })).toMatchObject({ payload: secret, sender: keyA });
      expect([await a.receive(key), await b.receive(key), await b.receive(key, { raw: true })]).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      expect((await a.sendStored(key, { to: [keyB] })).key).toBe(key);
      expect(await b.receive(key)).toMatchObject({ payload: secret, sender: keyA });
      expect(await c.receive(key)).toBeUndefined();
    });

    test("what was not stored can't be sent", async () => {
      const key = toHex(new Uint8Array(randomBytes(64)));
      await expect(a.sendStored(key, { to: [keyB] })).rejects.toEqual(refusal(404));
    });

    test("a large payload arrives whole", async () => {
      // A Tessera on its own database takes a little less than 1 MiB.
      const large = new Uint8Array(randomBytes(1_000_000));
      const { key } = await a.send(large, { to: [keyB] });
      const arrived = (await b.receive(key))?.payload ?? new Uint8Array();
      expect(Buffer.compare(arrived, large)).toBe(0);
    });

    test("an unknown party, and a sender that is another manager's, are refused with the key that is wrong", async () => {
      const escaped = stranger.replace(/[+/=]/g, "\\$&");
      await expect(a.send(secret, { to: [keyB, stranger] })).rejects.toEqual(refusal(404, new RegExp(escaped)));
      await expect(a.send(secret, { to: [keyB] }, keyB)).rejects.toMatchObject({ name: "PrivacyManagerError" });
    });

    test("a contract's parties learn of what touches it; a contract that the sender does not know can't be touched", async () => {
      const flag = PRIVACY.partyProtection;
      const created = await a.send(secret, { to: [keyB], flag });
      const call = await b.send(secret, { to: [keyA], flag, affected: [created.key] });
      expect(await a.receive(call.key)).toMatchObject({ flag, affected: [created.key] });
      await expect(c.send(secret, { to: [keyA], flag, affected: [created.key] })).rejects.toEqual(refusal(403));
    });

    test("a transaction has the flag of the contracts that it touches", async () => {
      const created = await a.send(secret, { to: [keyB], flag: PRIVACY.partyProtection });
      const call = { to: [keyB], flag: PRIVACY.stateValidation, execHash: root, affected: [created.key] };
      await expect(a.send(secret, call)).rejects.toEqual(refusal(403));
    });

    test("state validation: all parties, with the state root that they must come to", async () => {
      const flag = PRIVACY.stateValidation;
      await expect(a.send(secret, { to: [keyB], flag })).rejects.toEqual(refusal(400, /exec ?hash/i));
      const created = await a.send(secret, { to: [keyB, keyC], flag, execHash: root });
      for (const m of [a, b, c]) {
        expect(await m.receive(created.key)).toMatchObject({ flag, execHash: root });
        expect((await m.participants(created.key)).sort()).toEqual([keyA, keyB, keyC].sort());
      }
      const call = (to: string[]) => b.send(secret, { to, flag, execHash: root, affected: [created.key] });
      await expect(call([keyA])).rejects.toEqual(refusal(403, /Recipients mismatched for Affected Txn/));
      expect(await c.receive((await call([keyA, keyC])).key)).toMatchObject({ affected: [created.key] });
    });

    test.skipIf(!mandatoryRecipients)("mandatory parties are in every transaction", async () => {
      const flag = PRIVACY.mandatoryParties;
      await expect(a.send(secret, { to: [keyB], flag, mandatory: [keyC] })).rejects.toEqual(
        refusal(403, /mandatory recipients not included/),
      );
      const created = await a.send(secret, { to: [keyB, keyC], flag, mandatory: [keyC] });
      for (const m of [a, b, c]) expect(await m.mandatory(created.key)).toEqual([keyC]);
      const without = { to: [keyA], flag, mandatory: [keyA], affected: [created.key] };
      await expect(b.send(secret, without)).rejects.toEqual(refusal(403));
      await expect(a.mandatory((await a.send(secret, { to: [keyB] })).key)).rejects.toEqual(refusal(400));
    });

    test.skipIf(!mandatoryRecipients)("sent again, a stored payload keeps its rules and its one effect", async () => {
      const key: Hex = await a.storeRaw(secret);
      const rules = { to: [keyB, keyC], flag: PRIVACY.mandatoryParties, mandatory: [keyC] };
      await a.sendStored(key, rules);
      await b.receive(key);
      expect(await c.receive(key)).toMatchObject({ payload: secret, flag: PRIVACY.mandatoryParties });
    });
  });
}
