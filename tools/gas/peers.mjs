// Other people's contracts, fetched from their npm packages when they are measured; nothing of them is in this repository.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fetchPackage } from "../npm-package.mjs";
import { root } from "../setup.mjs";

const folder = join(root, "node_modules", ".cache", "msec-peers");
const require = createRequire(join(root, "package.json"));

/** Version and integrity, as a lock file states them. */
const packages = {
  "@ethereum-attestation-service/eas-contracts": [
    "1.9.0",
    "sha512-L60y1fgKlY3a45xxnPlgRbiGQY8RF/lF+AzF1iVoR7/aEzitS0Nuyyjq8+IXs1sSSU0dl2+yGSmELxVeB6FelA==",
  ],
  "@oceanprotocol/contracts": [
    "2.6.0",
    "sha512-4K3TTM0q4VlBs7GLXzQkGMae576iAGHMARqMFcKXUUtfGyiT8KP4sP9IBsq8UUhu11R4JU2KTqXenHS8EWxrbA==",
  ],
  "@sablier/flow": [
    "3.0.1",
    "sha512-P7r2tMHRTS3KadYzwd4iEzHaSbKzPQfM+W1LI1lqQ11VhbRR0sqFjE71V6jr+QQPA3ns/L1KLf24Op5VOIvPDg==",
  ],
  "@sablier/evm-utils": [
    "2.0.1",
    "sha512-LRyCMKTHMbnUbiTTO1IGsCVXzl+KL63K3qSjynwmXOZhUfPDE0MIqvvRlvF34JukWGy60IkdmnsPD0lWk+fzuw==",
  ],
  "@prb/math": [
    "4.1.0",
    "sha512-ef5Xrlh3BeX4xT5/Wi810dpEPq2bYPndRxgFIaKSU1F/Op/s8af03kyom+mfU7gEpvfIZ46xu8W0duiHplbBMg==",
  ],
  "@chainlink/contracts": [
    "1.3.0",
    "sha512-Vk93nijTC5iRFW/L6FKUzeMuJy7k5dNzAtqlHpdreqtzL7efO/qXbYCkqjJFNXGurfOXVehHlehFoH4tWvSbfw==",
  ],
  "@openzeppelin/contracts-upgradeable": [
    "5.3.0",
    "sha512-yVzSSyTMWO6rapGI5tuqkcLpcGGXA0UA1vScyV5EhE5yw8By3Ewex9rDUw8lfVw0iTkvR/egjfcW5vpk03lqZg==",
  ],
};

/** Published with bytecode that runs at Istanbul. */
const published = {
  EAS: ["@ethereum-attestation-service/eas-contracts", "artifacts/contracts/EAS.sol/EAS.json"],
  SchemaRegistry: [
    "@ethereum-attestation-service/eas-contracts",
    "artifacts/contracts/SchemaRegistry.sol/SchemaRegistry.json",
  ],
  FactoryRouter: ["@oceanprotocol/contracts", "artifacts/contracts/pools/FactoryRouter.sol/FactoryRouter.json"],
  FixedRateExchange: [
    "@oceanprotocol/contracts",
    "artifacts/contracts/pools/fixedRate/FixedRateExchange.sol/FixedRateExchange.json",
  ],
  ERC721Factory: ["@oceanprotocol/contracts", "artifacts/contracts/ERC721Factory.sol/ERC721Factory.json"],
  ERC721Template: ["@oceanprotocol/contracts", "artifacts/contracts/templates/ERC721Template.sol/ERC721Template.json"],
  ERC20TemplateEnterprise: [
    "@oceanprotocol/contracts",
    "artifacts/contracts/templates/ERC20TemplateEnterprise.sol/ERC20TemplateEnterprise.json",
  ],
  OceanEscrow: ["@oceanprotocol/contracts", "artifacts/contracts/escrow/Escrow.sol/Escrow.json"],
  AccessList: ["@oceanprotocol/contracts", "artifacts/contracts/accesslists/AccessList.sol/AccessList.json"],
};

/** Published for later rules (PUSH0), so compiled from their sources for Istanbul, with the runs that they state. */
const compiled = {
  SablierFlow: ["@sablier/flow/src/SablierFlow.sol", 1_000_000],
  SablierComptroller: ["@sablier/evm-utils/src/SablierComptroller.sol", 100_000_000],
};

/**
 * @param say Told what is fetched and compiled.
 * @returns Creation code by name, 0x hex.
 * @throws Where a package can't be fetched, or isn't the one that was measured before.
 */
export function peers(say) {
  for (const [name, [version, integrity]] of Object.entries(packages))
    fetchPackage(folder, name, version, integrity, say);
  const codes = {};
  for (const [name, [of, path]] of Object.entries(published))
    codes[name] = JSON.parse(readFileSync(join(folder, of, path), "utf8")).bytecode;
  for (const [name, [source, runs]] of Object.entries(compiled)) codes[name] = compile(name, source, runs, say);
  return codes;
}

function compile(name, source, runs, say) {
  say(`compiling ${name} for Istanbul`);
  const solc = require("solc");
  const input = {
    language: "Solidity",
    sources: { "entry.sol": { content: `pragma solidity 0.8.36;\nimport "${source}";` } },
    settings: {
      evmVersion: "istanbul",
      viaIR: true,
      optimizer: { enabled: true, runs },
      outputSelection: { "*": { [name]: ["evm.bytecode.object"] } },
    },
  };
  const read = (path) => {
    const of = path.split("/").slice(0, 2).join("/");
    return { contents: readFileSync(of in packages ? join(folder, path) : require.resolve(path), "utf8") };
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: read }));
  const error = output.errors?.find((e) => e.severity === "error");
  if (error) throw new Error(`${name} does not compile: ${error.formattedMessage}`);
  return `0x${output.contracts[source][name].evm.bytecode.object}`;
}
