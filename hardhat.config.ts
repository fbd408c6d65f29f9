import { createRequire } from "node:module";
import hardhatEthers from "@nomicfoundation/hardhat-ethers";
import hardhatTypechain from "@nomicfoundation/hardhat-typechain";
import { defineConfig } from "hardhat/config";

const soljson = createRequire(import.meta.url).resolve("solc/soljson.js");

/** GoQuorum's private transactions break from Berlin on, so compiler and networks stay at Istanbul, in every profile. */
const compiler = {
  version: "0.8.36",
  path: soljson,
  settings: {
    evmVersion: "istanbul",
    optimizer: { enabled: true, runs: 20_000 },
    viaIR: true,
    metadata: { bytecodeHash: "none" as const },
  },
};

export default defineConfig({
  plugins: [hardhatEthers, hardhatTypechain],
  solidity: {
    profiles: { default: { compilers: [compiler] }, production: { compilers: [compiler] } },
    npmFilesToBuild: ["@openzeppelin/contracts/access/manager/AccessManager.sol"],
  },
  paths: { sources: "./contracts", tests: { solidity: "./contracts" } },
  networks: {
    istanbul: { type: "edr-simulated", chainType: "l1", hardfork: "istanbul", chainId: 31337, gasPrice: 0 },
  },
  typechain: { outDir: "packages/chain/src/generated" },
  test: { solidity: { fuzz: { runs: 256 }, invariant: { runs: 32, depth: 64, failOnRevert: true } } },
});
