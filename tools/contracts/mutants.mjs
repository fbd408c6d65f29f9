// Small changes of a contract's source, each of which some test must notice.

const SWAPS = {
  "<": ["<="],
  "<=": ["<"],
  ">": [">="],
  ">=": [">"],
  "==": ["!="],
  "!=": ["=="],
  "&&": ["||"],
  "||": ["&&"],
  "+": ["-"],
  "-": ["+"],
  "*": ["/"],
  "/": ["*"],
  "%": ["*"],
  "&": ["|"],
  "|": ["&"],
  "^": ["&"],
  "<<": [">>"],
  ">>": ["<<"],
};
const ASSIGNMENTS = { "+=": ["-=", "="], "-=": ["+=", "="], "|=": ["&="], "&=": ["|="] };
const UNARY = { "++": "--", "--": "++" };
const DECLARATIVE = new Set(["onlyInitializing", "view"]);

/** Every node of a syntax tree, with those around it. Positions are bytes of UTF-8, as solc gives them. */
export function* walk(node, parents = []) {
  if (Array.isArray(node)) {
    for (const child of node) yield* walk(child, parents);
    return;
  }
  if (node === null || typeof node !== "object") return;
  if (node.nodeType) yield [node, parents];
  const inside = node.nodeType ? [...parents, node] : parents;
  for (const [key, child] of Object.entries(node))
    if (key !== "typeDescriptions" && typeof child === "object") yield* walk(child, inside);
}

/**
 * Every mutant of one source: what stands at `start` for `length` bytes becomes `text`.
 * @param {object} ast solc's syntax tree of the source.
 * @param {string} source
 */
export function mutantsOf(ast, source) {
  const bytes = Buffer.from(source);
  const at = ({ src }) => src.split(":").slice(0, 2).map(Number);
  const textOf = (node) => {
    const [start, length] = at(node);
    return bytes.subarray(start, start + length).toString();
  };
  const found = [];
  const put = (operator, start, length, text) => {
    const original = bytes.subarray(start, start + length).toString();
    if (original === text) return;
    const line = bytes.subarray(0, start).toString().split("\n").length;
    found.push({ operator, start, length, text, original, line });
  };
  const replace = (operator, node, text) => put(operator, ...at(node), text);
  /** The operator that stands between two operands. */
  const between = (operator, left, right, text) => {
    const [leftStart, leftLength] = at(left);
    const start = leftStart + leftLength;
    const gap = bytes.subarray(start, at(right)[0]).toString();
    const offset = gap.indexOf(operator);
    if (offset >= 0)
      put(`${operator} → ${text}`, start + Buffer.byteLength(gap.slice(0, offset)), operator.length, text);
  };
  for (const [node, parents] of walk(ast)) {
    // Constants are spelt out on purpose: hashes of type strings and limits that tests name.
    if (parents.some((p) => p.nodeType === "InlineAssembly")) continue;
    switch (node.nodeType) {
      case "BinaryOperation":
        for (const text of SWAPS[node.operator] ?? [])
          between(node.operator, node.leftExpression, node.rightExpression, text);
        break;
      case "Assignment":
        for (const text of ASSIGNMENTS[node.operator] ?? [])
          between(node.operator, node.leftHandSide, node.rightHandSide, text);
        break;
      case "UnaryOperation":
        if (node.operator === "!") replace("! removed", node, `(${textOf(node.subExpression)})`);
        else if (
          UNARY[node.operator] &&
          !parents.some((p) => p.nodeType === "ForStatement" && p.loopExpression === parents.at(-1))
        )
          replace(
            `${node.operator} → ${UNARY[node.operator]}`,
            node,
            textOf(node).replace(node.operator, UNARY[node.operator]),
          );
        break;
      case "IfStatement":
        replace("if true", node.condition, "true");
        replace("if false", node.condition, "false");
        break;
      case "Conditional":
        replace("? left", node, `(${textOf(node.trueExpression)})`);
        replace("? right", node, `(${textOf(node.falseExpression)})`);
        break;
      case "ExpressionStatement":
        if (parents.at(-1)?.nodeType !== "ForStatement") replace("statement removed", node, "");
        break;
      case "EmitStatement":
        replace("event removed", node, "");
        break;
      case "ModifierInvocation":
        if (node.kind === "modifierInvocation" && !DECLARATIVE.has(node.modifierName.name))
          replace("modifier removed", node, "");
        break;
      case "Literal":
        if (node.kind === "number" && /^\d[\d_]*$/.test(textOf(node)) && parents.some((p) => p.nodeType === "Block"))
          replace("number + 1", node, `(${textOf(node)} + 1)`);
        break;
      case "Return":
        if (node.expression?.typeDescriptions.typeString === "bool") {
          replace("return true", node.expression, "true");
          replace("return false", node.expression, "false");
        }
        break;
    }
  }
  return found;
}

/** The source with one mutant in it. */
export function mutate(source, { start, length, text }) {
  const bytes = Buffer.from(source);
  return Buffer.concat([bytes.subarray(0, start), Buffer.from(text), bytes.subarray(start + length)]).toString();
}
