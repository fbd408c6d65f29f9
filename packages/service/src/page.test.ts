import { expect, test } from "vitest";
import { healthPage } from "./page.ts";

test("a page says whether the process is well, and why not", () => {
  const well = healthPage("Operator one", [], [{ rows: [["Block", 12]] }]);
  expect(well).toContain("<strong>healthy</strong>");
  expect(well).toContain('<th scope="row">Block</th><td>12</td>');
  const ill = healthPage("Operator one", ["the chain does not answer"], []);
  expect(ill).toContain("<strong>needs attention</strong><br>the chain does not answer");
  expect(ill).toContain("<title>Operator one: needs attention</title>");
  expect(ill).not.toContain("healthy");
});

test("what comes from elsewhere is text, never HTML", () => {
  const evil = `<script>alert(1)</script>"&`;
  const page = healthPage(evil, [evil], [{ title: evil, rows: [[evil, evil]] }, { rows: [] }]);
  expect(page).not.toMatch(/<script/i);
  expect(page.split("&#60;script&#62;alert(1)&#60;/script&#62;&#34;&#38;")).toHaveLength(7);
  expect(page).toContain("<td>none</td>");
});

test("a page brings no script and nothing from another host", () => {
  const page = healthPage("x", [], []);
  expect(page).not.toMatch(/<script|<link|<img|src=|https?:/);
  expect(page).toContain('href="/metrics"');
});
