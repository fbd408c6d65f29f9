/** What a YAML file of ours can hold. */
export type Yaml = string | number | boolean | Yaml[] | { [key: string]: Yaml };

/** YAML 1.2 in block style; every text in double quotes, whose escapes are JSON's. */
export function yaml(value: Yaml, indent = ""): string {
  const isBlock = (one: Yaml) => typeof one === "object" && Object.keys(one).length > 0;
  if (!isBlock(value)) return `${indent}${JSON.stringify(value)}\n`;
  const inner = `${indent}  `;
  const entry = (name: string, one: Yaml) =>
    isBlock(one) ? `${name}\n${yaml(one, inner)}` : `${name} ${JSON.stringify(one)}\n`;
  if (Array.isArray(value)) return value.map((one) => `${indent}${entry("-", one)}`).join("");
  return Object.entries(value)
    .map(([key, one]) => `${indent}${entry(`${JSON.stringify(key)}:`, one)}`)
    .join("");
}
