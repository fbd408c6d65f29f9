import { checkConfig, type Config, type Hex } from "@msec/core";
import { keccak256 } from "ethers";
import { count, type Finding, few, type Invariant, type Moment, rowsOf } from "./invariant.ts";

const finding = (id: string, reason: string | null, figures: Finding["figures"], events: string[]): Finding[] => [
  { id, subject: null, verdict: reason ? "broken" : "holds", reason, figures, events },
];

/** q = n − f members of different organisations sign, and the Directory knows each under the one named for it. */
async function committee(moment: Moment): Promise<Finding[]> {
  const { OracleCommittee, Directory } = moment.calls.contracts;
  const configs = await OracleCommittee.configCount();
  const given = await OracleCommittee.config(configs - 1n);
  const config: Config = {
    q: Number(given.q),
    members: given.members.map((member) => member.toLowerCase() as Hex),
    organisations: [...given.organisations] as Hex[],
    fromEpoch: Number(given.fromEpoch),
  };
  const known = await Promise.all(config.members.map((member) => Directory.organisationOf(member)));
  const agree = known.filter((organisation, i) => organisation === config.organisations[i]).length;
  let reason = agree === known.length ? null : "moved";
  try {
    checkConfig(config);
  } catch {
    reason = "quorum";
  }
  return finding(
    "committee",
    reason,
    [
      count("members", config.members.length),
      count("quorum", config.q),
      count("organisations", new Set(config.organisations).size),
      count("configurations", configs),
    ],
    [],
  );
}

/** What the Directory names is the code that was named. */
async function modules(moment: Moment): Promise<Finding[]> {
  const { Directory } = moment.calls.contracts;
  const names = await rowsOf<{ name: Hex }>(
    moment,
    "select distinct args->>'name' as name from events where contract = 'Directory' and name = 'ModuleSet' and block <= $1",
    [moment.block],
  );
  const named = await Promise.all(names.map(({ name }) => Directory.module(name)));
  const codes = await Promise.all(named.map(({ module }) => moment.provider.getCode(module, moment.block)));
  const same = named.filter(({ codehash }, i) => keccak256(codes[i] as string) === codehash).length;
  return finding(
    "modules",
    same === named.length ? null : "code",
    [count("modules", named.length), count("unchanged", same)],
    ["Directory.ModuleSet"],
  );
}

/** A tombstone never goes: the contract counts as many of each stream as were asked for. */
async function tombstones(moment: Moment): Promise<Finding[]> {
  const { ConsentRegistry } = moment.calls.contracts;
  const streams = few(
    await rowsOf<{ id: Hex; asked: number; complete: number }>(
      moment,
      `select args->>'streamId' as id, count(*) filter (where name = 'ErasureRequested')::integer as asked,
         count(*) filter (where name = 'ErasureCompleted')::integer as complete
       from events where contract = 'ConsentRegistry' and name in ('ErasureRequested', 'ErasureCompleted') and block <= $1 group by 1`,
      [moment.block],
    ),
    "streams with erasures",
  );
  const stand = await Promise.all(streams.map(({ id }) => ConsentRegistry.erasures(id)));
  const standing = stand.reduce((all, n) => all + Number(n), 0);
  const gone = streams.some(({ asked }, i) => Number(stand[i]) < asked);
  return finding(
    "tombstones",
    gone ? "gone" : null,
    [
      count(
        "erasures",
        streams.reduce((all, { asked }) => all + asked, 0),
      ),
      count("standing", standing),
      count(
        "complete",
        streams.reduce((all, { complete }) => all + complete, 0),
      ),
    ],
    ["ConsentRegistry.ErasureRequested", "ConsentRegistry.ErasureCompleted"],
  );
}

/** One device an endorsement key and a signing key; retired is final. */
async function devices(moment: Moment): Promise<Finding[]> {
  const { DeviceRegistry } = moment.calls.contracts;
  const [[row], organisations] = await Promise.all([
    rowsOf<{
      devices: number;
      keys: number;
      differentKeys: number;
      chips: number;
      differentChips: number;
      back: number;
    }>(
      moment,
      `with enrolled as (select args from events where contract = 'DeviceRegistry' and name = 'Enrolled' and block <= $1),
         keys as (select args->'enrolment'->>'keyHash' as key from enrolled union all
           select args->'rotation'->>'keyHash' from events where contract = 'DeviceRegistry' and name = 'KeyRotated' and block <= $1),
         chips as (select args->'enrolment'->>'ekHash' as chip from enrolled where (args->>'assurance')::integer = 2)
       select (select count(*) from enrolled)::integer as devices,
         (select count(*) from keys)::integer as keys, (select count(distinct key) from keys)::integer as "differentKeys",
         (select count(*) from chips)::integer as chips, (select count(distinct chip) from chips)::integer as "differentChips",
         (select count(*) from events a join events b on b.args->>'deviceId' = a.args->>'deviceId' and (b.block, b.index) > (a.block, a.index)
           where a.contract = 'DeviceRegistry' and a.name = 'StatusSet' and (a.args->>'status')::integer = 4
             and b.contract = 'DeviceRegistry' and b.name = 'StatusSet' and b.block <= $1)::integer as back`,
      [moment.block],
    ),
    rowsOf<{ id: Hex }>(
      moment,
      "select distinct args->>'organisation' as id from events where contract = 'DeviceRegistry' and name = 'Enrolled' and block <= $1",
      [moment.block],
    ),
  ]);
  const software = await Promise.all(
    few(organisations, "organisations").map(({ id }) => DeviceRegistry.softwareElements(id)),
  );
  const { devices: all, keys, differentKeys, chips, differentChips, back } = row as NonNullable<typeof row>;
  const reason = keys !== differentKeys ? "key" : chips !== differentChips ? "chip" : back > 0 ? "retired" : null;
  return finding(
    "devices",
    reason,
    [
      count("devices", all),
      count("keys", keys),
      count("chips", chips),
      count(
        "software",
        software.reduce((sum, { live }) => sum + live, 0n),
      ),
    ],
    ["Enrolled", "KeyRotated", "StatusSet"].map((name) => `DeviceRegistry.${name}`),
  );
}

export const RULES: readonly Invariant[] = [
  { ids: ["committee"], evaluate: committee },
  { ids: ["modules"], evaluate: modules },
  { ids: ["tombstones"], evaluate: tombstones },
  { ids: ["devices"], evaluate: devices },
];
