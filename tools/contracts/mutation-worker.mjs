// Compiles mutants of one contract and runs its tests on each, in this process: with EDR and solc themselves, since a
// Hardhat process a mutant would take ten times as long. Their inner modules are named by path; Hardhat is pinned.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import hre from "hardhat";
import { root } from "../setup.mjs";
import { mutate, mutantsOf } from "./mutants.mjs";

const require = createRequire(join(root, "package.json"));
const solc = require("solc");
const inner = (path) =>
  import(pathToFileURL(join(root, "node_modules/hardhat/dist/src/internal/builtin-plugins", path)).href);
const { run } = await inner("solidity-test/runner.js");
const { buildEdrArtifactsWithMetadata } = await inner("solidity-test/edr-artifacts.js");
const { isTestSuiteArtifact, solidityTestConfigToSolidityTestRunnerConfigArgs } =
  await inner("solidity-test/helpers.js");
const { ArtifactManagerImplementation } = await inner("artifacts/artifact-manager.js");

// From the quickest on, until one has stack enough for the contract. What the tests see of it is the same.
const QUICK = [
  { viaIR: false, optimizer: { enabled: false } },
  { viaIR: false, optimizer: { enabled: true, runs: 1 } },
  { viaIR: true, optimizer: { enabled: false } },
];
// What survives and is the same to the optimiser is the same contract.
const THOROUGH = { viaIR: true, optimizer: { enabled: true, runs: 1 } };
const FUZZ_RUNS = 32;
const INVARIANT = { runs: 6, depth: 24 };

const sources = new Map();
const read = (path) => {
  if (!sources.has(path))
    sources.set(path, readFileSync(path.startsWith("@") ? require.resolve(path) : join(root, path), "utf8"));
  return { contents: sources.get(path) };
};

function compile(file, name, content, settings, ast = false) {
  const output = JSON.parse(
    solc.compile(
      JSON.stringify({
        language: "Solidity",
        sources: { [file]: { content } },
        settings: {
          evmVersion: "istanbul",
          ...settings,
          metadata: { bytecodeHash: "none", appendCBOR: false },
          outputSelection: {
            [file]: { [name]: ["evm.bytecode.object", "evm.deployedBytecode.object"], ...(ast && { "": ["ast"] }) },
          },
        },
      }),
      { import: read },
    ),
  );
  const error = output.errors?.find((e) => e.severity === "error");
  if (error) return { error: error.formattedMessage };
  const { evm } = output.contracts[file][name];
  return { ast: output.sources?.[file]?.ast, bytecode: evm.bytecode.object, deployed: evm.deployedBytecode.object };
}

/** What is likely to notice a mutant soonest comes first: unit tests, then fuzz tests, then invariants. */
const KINDS = ["test_", "testFuzz_", "invariant_"];

/** Artifacts of the build and a function that says whether a test fails once a contract has other code. */
async function testsOf(suites, name) {
  const manager = new ArtifactManagerImplementation(await hre.solidity.getArtifactsDirectory("contracts"));
  const artifacts = (await buildEdrArtifactsWithMetadata(manager)).map(({ edrArtifact }) => edrArtifact);
  const config = { ...hre.config.test.solidity.profiles.default };
  delete config.eip712Types;
  const parts = [];
  for (const kind of KINDS) {
    const runner = await solidityTestConfigToSolidityTestRunnerConfigArgs({
      chainType: "l1",
      projectRoot: hre.config.paths.root,
      hardfork: "istanbul",
      config: {
        ...config,
        fuzz: { ...config.fuzz, runs: FUZZ_RUNS, seed: "0x2a" },
        invariant: { ...config.invariant, ...INVARIANT },
      },
      verbosity: 0,
      testPattern: `^${kind}`,
      // Figures of gas belong to the real build.
      excludeTestPattern: "[gG]as",
      generateGasReport: false,
      eip712CanonicalTypes: [],
      testSourcePaths: {},
    });
    for (const suite of suites) {
      const ids = artifacts.filter((a) => isTestSuiteArtifact(a) && a.id.source.endsWith(suite)).map((a) => a.id);
      if (ids.length === 0) throw new Error(`no tests are built in ${suite}`);
      parts.push({ runner, ids });
    }
  }
  return async (bytecode, deployed) => {
    const changed = artifacts.map((a) =>
      a.id.name === name
        ? { id: a.id, contract: { ...a.contract, bytecode: `0x${bytecode}`, deployedBytecode: `0x${deployed}` } }
        : a,
    );
    for (const { runner, ids } of parts) {
      const failed = [];
      for await (const event of run("l1", changed, ids, runner, { buildInfos: [], ignoreContracts: true }, new Map()))
        if (event.type === "suite:done")
          for (const test of event.data.testResults) if (test.status === "Failure") failed.push(test.name);
      if (failed.length > 0) return failed;
    }
    return [];
  };
}

process.on("message", async ({ file, name, suites, step, share, shares }) => {
  try {
    const source = read(file).contents;
    const settings = QUICK.find((quick) => !compile(file, name, source, quick).error);
    if (!settings) throw new Error(compile(file, name, source, THOROUGH).error ?? `${file} does not compile`);
    const original = compile(file, name, source, settings, true);
    let optimised;
    const failing = await testsOf(suites, name);
    const before = await failing(original.bytecode, original.deployed);
    if (before.length > 0) throw new Error(`tests fail without a mutant: ${before.slice(0, 5).join(", ")}`);
    for (const [i, mutant] of mutantsOf(original.ast, source).entries()) {
      if (i % step !== 0 || (i / step) % shares !== share) continue;
      const changed = mutate(source, mutant);
      const compiled = compile(file, name, changed, settings);
      const outcome = compiled.error
        ? "invalid"
        : compiled.bytecode === original.bytecode
          ? "equal"
          : (await failing(compiled.bytecode, compiled.deployed)).length > 0
            ? "killed"
            : compile(file, name, changed, THOROUGH).bytecode ===
                (optimised ??= compile(file, name, source, THOROUGH).bytecode)
              ? "equal"
              : "survived";
      process.send({ mutant, outcome });
    }
    process.send({ done: true });
  } catch (error) {
    if (process.connected) process.send({ error: error.stack });
  }
});
