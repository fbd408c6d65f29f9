import { PrivacyManager } from "@msec/chain";
import { test } from "vitest";
import { managerSuite } from "../support/manager-suite.ts";
import { managersElsewhere } from "../support/managers-elsewhere.ts";

// The suite of the client on managers that run elsewhere, such as three Tesseras: "Q2T-URL THIRDPARTY-URL", comma, and so on.

const elsewhere = managersElsewhere();
const [a, b, c] = elsewhere.map(({ q2t, thirdParty }) => new PrivacyManager(q2t, thirdParty));

if (a && b && c) {
  const mandatoryRecipients = (await a.apiVersions()).includes("4.0");
  if (!mandatoryRecipients) console.log("skipped: mandatory recipients, which this manager does not know");
  const groups = await a.residentGroups().then(
    () => true,
    () => false,
  );
  if (!groups) console.log("skipped: groups of resident keys, which this manager does not know");
  managerSuite(`the managers at ${elsewhere.map(({ q2t }) => q2t).join(", ")}`, () => ({ a, b, c }), {
    mandatoryRecipients,
    groups,
  });
} else {
  console.log(
    'skipped: no other privacy managers: give MSEC_PRIVACY_MANAGER_URL three times "Q2T-URL THIRDPARTY-URL", by commas',
  );
  test.skip("privacy managers that run elsewhere");
}
