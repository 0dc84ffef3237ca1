// Standard input: an AsyncAPI document. Standard output: what the specification's own parser has to say about it.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
console.log(JSON.stringify({
  version: document?.version() ?? null,
  operations: document?.operations().all().map((one) => [one.id(), one.action(), one.channels().all()[0].address()]) ?? [],
  diagnostics: diagnostics.map((one) => [one.severity, one.code, one.path.join("."), one.message]),
}));
