import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as contracts from "../generated/contracts.ts";
import { NAMESPACES } from "./namespaces.ts";

const folder = fileURLToPath(new URL("../../messages/", import.meta.url));
type Sentences = { [key: string]: string | Sentences };
const read = (locale: string, name: string) =>
  JSON.parse(readFileSync(`${folder}${locale}/${name}.json`, "utf8")) as Sentences;
const flat = (sentences: Sentences, path = ""): [string, string][] =>
  Object.entries(sentences).flatMap(([key, value]) =>
    typeof value === "string" ? [[`${path}${key}`, value] as [string, string]] : flat(value, `${path}${key}.`),
  );
/** Names of a sentence's arguments, whatever it does with them. */
const argumentsOf = (sentence: string) =>
  [...new Set([...sentence.matchAll(/\{(\w+)\s*[,}]/g)].map(([, name]) => name))].sort();

test("every part of the site is there in every language", () => {
  for (const locale of ["en", "es", "ja"])
    expect(readdirSync(`${folder}${locale}`).sort()).toEqual(NAMESPACES.map((name) => `${name}.json`).sort());
});

test.each([...NAMESPACES])("%s: each sentence is said in each language, with the same arguments", (name) => {
  const english = flat(read("en", name));
  for (const locale of ["es", "ja"]) {
    const other = new Map(flat(read(locale, name)));
    expect([...other.keys()]).toEqual(english.map(([key]) => key));
    for (const [key, sentence] of english)
      expect(argumentsOf(other.get(key) as string), `${locale} ${key}`).toEqual(argumentsOf(sentence));
  }
});

test("every sentence can be read as an ICU message", async () => {
  const { IntlMessageFormat } = (await import(
    createRequire(import.meta.url).resolve("intl-messageformat")
  )) as typeof import("intl-messageformat");
  for (const locale of ["en", "es", "ja"])
    for (const name of NAMESPACES)
      for (const [key, sentence] of flat(read(locale, name)))
        expect(() => new IntlMessageFormat(sentence, locale), `${locale} ${name} ${key}`).not.toThrow();
});

test("every error of every contract has its sentence, and no sentence is of an error that is none", () => {
  const errors = Object.values(contracts).flatMap((abi) =>
    abi.flatMap((entry) => (entry.type === "error" ? [entry.name as string] : [])),
  );
  expect(Object.keys(read("en", "errors"))).toEqual([...new Set(errors)].sort());
});
