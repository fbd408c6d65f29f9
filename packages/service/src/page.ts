const escape = (text: unknown) => String(text).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

export interface Section {
  title?: string;
  rows: [string, unknown][];
}

/** The page a person opens to see whether a process is well: no script, nothing from elsewhere, readable on a phone. */
export function healthPage(title: string, problems: readonly string[], sections: readonly Section[]): string {
  const healthy = problems.length === 0;
  const state = healthy ? "healthy" : "needs attention";
  const table = ({ title: heading, rows }: Section) =>
    `${heading ? `<h2>${escape(heading)}</h2>` : ""}<table>${
      rows.map(([name, value]) => `<tr><th scope="row">${escape(name)}</th><td>${escape(value)}</td></tr>`).join("") ||
      "<tr><td>none</td></tr>"
    }</table>`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5"><title>${escape(title)}: ${state}</title>
<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:44rem;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:0 0 1.5rem}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8885;overflow-wrap:anywhere}
th{font-weight:600;width:45%}.state{padding:.6rem 1rem;border-left:.4rem solid ${healthy ? "#2a7" : "#c50"};background:#8881}</style></head><body>
<h1>${escape(title)}</h1><p class="state"><strong>${state}</strong>${problems.map((p) => `<br>${escape(p)}`).join("")}</p>
${sections.map(table).join("\n")}
<p><a href="/metrics">Metrics for Prometheus</a> · <a href="/status">the same as JSON</a></p></body></html>`;
}
