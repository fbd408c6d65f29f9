import { PrivacyManager } from "@msec/chain";
import { test } from "vitest";
import { managerSuite } from "../support/manager-suite.ts";

// The suite of the client on managers that run elsewhere, such as three Tesseras: "Q2T-URL THIRDPARTY-URL", comma, and so on.

const pairs = (process.env.MSEC_PRIVACY_MANAGER_URL ?? "").split(",").filter((pair) => pair.trim() !== "");
const clients = pairs.map((pair) => new PrivacyManager(...(pair.trim().split(/\s+/) as [string, string])));
const [a, b, c] = clients;

if (a && b && c) {
  const mandatoryRecipients = (await a.apiVersions()).includes("4.0");
  if (!mandatoryRecipients) console.log("skipped: mandatory recipients, which this manager does not know");
  const groups = await a.residentGroups().then(
    () => true,
    () => false,
  );
  if (!groups) console.log("skipped: groups of resident keys, which this manager does not know");
  managerSuite(`the managers at ${pairs.join(", ")}`, () => ({ a, b, c }), { mandatoryRecipients, groups });
} else {
  console.log(
    'skipped: no other privacy managers: give MSEC_PRIVACY_MANAGER_URL three times "Q2T-URL THIRDPARTY-URL", by commas',
  );
  test.skip("privacy managers that run elsewhere");
}
