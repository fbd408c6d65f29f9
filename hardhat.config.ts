import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import hardhatEthers from "@nomicfoundation/hardhat-ethers";
import hardhatTypechain from "@nomicfoundation/hardhat-typechain";
import { defineConfig } from "hardhat/config";
import type { SolidityCompilerConfig } from "hardhat/types/config";
import type { HardhatPlugin } from "hardhat/types/plugins";

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

/**
 * Tests take the contracts under test from their artifacts and are themselves built without optimiser and IR, since only
 * their own speed depends on it: seconds instead of minutes.
 */
const testCompiler = {
  ...compiler,
  settings: {
    ...compiler.settings,
    viaIR: false,
    optimizer: { enabled: false },
  },
};
const tests = readdirSync(new URL("./contracts", import.meta.url), { recursive: true, encoding: "utf8" })
  // The arithmetic of P-256 takes the IR pipeline.
  .filter((file) => file.endsWith(".t.sol") && !file.endsWith("SigningKey.t.sol"))
  .map((file) => [`contracts/${file.replaceAll("\\", "/")}`, testCompiler] as const);
/** The code of these two would not fit a contract if it were optimised for as many runs as the others. */
const escrow = {
  ...compiler,
  settings: { ...compiler.settings, optimizer: { enabled: true, runs: 1000 } },
};
const subscription = {
  ...compiler,
  settings: { ...compiler.settings, optimizer: { enabled: true, runs: 200 } },
};
const overrides = {
  ...Object.fromEntries(tests),
  "contracts/market/Escrow.sol": escrow,
  "contracts/market/Subscription.sol": subscription,
};
const build = { compilers: [compiler], overrides };

/**
 * Every compiler warning outside tests is an error, except one kind: notices that a name ("at", "error") becomes a keyword in some
 * later Solidity. The compiler is pinned, OpenZeppelin uses both names, and the protocol has a field `at`.
 */
const strictWarnings: HardhatPlugin = {
  id: "msec-strict-warnings",
  hookHandlers: {
    solidity: async () => ({
      default: async () => ({
        invokeSolc: async (context, solc, input, config, next) => {
          const output = await next(context, solc, input, config);
          const errors = output.errors
            ?.filter((e) => !e.message.includes("will be promoted to keyword in the future"))
            .map((e) => {
              const inTest = e.formattedMessage?.includes(".t.sol:") === true;
              return e.severity === "warning" && !inTest ? { ...e, severity: "error" as const } : e;
            });
          return { ...output, errors };
        },
      }),
    }),
  },
};

/**
 * Hardhat compiles together what has the same configuration, by identity, and resolves each override to an object of its own. Joined,
 * some fifty compilations of the same sources are one; and every processor has one.
 */
const joinedCompilations: HardhatPlugin = {
  id: "msec-joined-compilations",
  hookHandlers: {
    config: async () => ({
      default: async () => ({
        resolveUserConfig: async (userConfig, variable, next) => {
          const config = await next(userConfig, variable);
          const known = new Map<string, SolidityCompilerConfig>();
          for (const { overrides } of Object.values(config.solidity.profiles))
            for (const [file, settings] of Object.entries(overrides)) {
              const text = JSON.stringify(settings);
              overrides[file] = known.get(text) ?? settings;
              known.set(text, overrides[file]);
            }
          return config;
        },
      }),
    }),
    solidity: async () => ({
      default: async () => ({
        build: (context, files, options, next) =>
          next(context, files, { ...options, concurrency: availableParallelism() }),
      }),
    }),
  },
};

/** MSEC_LONG=1 runs what a release asks for: 10,000 inputs a fuzz test, 256 sequences of 128 calls an invariant. */
const long = process.env.MSEC_LONG === "1";

export default defineConfig({
  plugins: [hardhatEthers, hardhatTypechain, strictWarnings, joinedCompilations],
  solidity: {
    profiles: { default: build, production: build },
    npmFilesToBuild: ["@openzeppelin/contracts/access/manager/AccessManager.sol"],
  },
  paths: { sources: "./contracts", tests: { solidity: "./contracts" } },
  networks: {
    istanbul: { type: "edr-simulated", chainType: "l1", hardfork: "istanbul", chainId: 31337, gasPrice: 0 },
  },
  typechain: { outDir: "packages/chain/src/generated" },
  test: {
    solidity: {
      fsPermissions: { readDirectory: ["./contracts", "./packages/core/vectors", "./packages/trust/vectors"] },
      fuzz: { runs: long ? 10_000 : 100 },
      invariant: { runs: long ? 256 : 24, depth: long ? 128 : 48, failOnRevert: true },
    },
  },
});
