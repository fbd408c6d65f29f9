import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      "packages/**/*.test.ts",
      "oracles/**/*.test.ts",
      "deploy/**/*.test.ts",
      "device-firmware/**/*.test.ts",
      "apps/**/*.test.ts",
      "test/**/*.test.ts",
    ],
    setupFiles: ["test/support/ports.ts"],
    // Most files wait for other processes.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    // Longer than what a test waits for by itself: that says what did not happen.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 60_000, interval: 100 } },
  },
});
