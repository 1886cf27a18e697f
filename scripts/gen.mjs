// Writes everything that is made from the one list of ops and the one list of error codes: lib/generated/*, docs/ops.md.
// `--check` writes nothing and fails when a file is stale.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const { describe } = createRequire(import.meta.url)(path.join(root, 'build/Release/hyper_bagel.node'));
const { ops } = describe();

const camel = (name) => name.replace(/_([a-z0-9])/g, (_, c) => c.toUpperCase());
const pascal = (name) => camel(name).replace(/^./, (c) => c.toUpperCase());
const union = (names) => names.map((n) => `'${n}'`).join(' | ');

const cpuOnly = (op) => (op.cpuOnly ? ` On the \`cpu\` backend only: ${op.cpuOnly}.` : '');

function errorCodes() {
  const list = readFileSync(path.join(root, 'csrc/core/error_codes.def'), 'utf8');
  const codes = [...list.matchAll(/^HB_ERROR\((\w+),/gm)].map((m) => m[1]);
  return `// Made by \`npm run gen\` from csrc/core/error_codes.def. Do not edit.

/** Stable codes of {@link HyperBagelError}. */
export const ERROR_CODES = [${codes.map((c) => `'${c}'`).join(', ')}] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];
`;
}

/** The TypeScript signature of one op: type variables tie dtypes together, only the first operand of each infers it. */
function opFunction(op, number) {
  const inputs = op.operands.filter((o) => o.role !== 'out');
  const outputs = op.operands.filter((o) => o.role === 'out');
  const output = op.attributes.find((a) => a.kind === 'dtype');
  const variables = new Map();
  for (const o of op.operands) if (o.type && (o.role !== 'out' || output)) variables.set(o.type, o.dtypes);
  const seen = new Set(output ? ['O'] : []);
  const operandType = (o) => {
    if (!o.type || !variables.has(o.type)) return `Tensor<${union(o.dtypes)}>`;
    if (seen.has(o.type)) return `Tensor<NoInfer<${o.type}>>`;
    seen.add(o.type);
    return `Tensor<${o.type}>`;
  };
  const fields = [];
  for (const o of inputs) {
    const dims = o.dims === '*' ? 'any shape' : `[${o.dims}]`;
    fields.push(
      `  /** ${dims}: ${o.note}. */\n  ${camel(o.name)}${o.optional ? '?' : ''}: ${operandType(o)}${o.optional ? ' | undefined' : ''};`,
    );
  }
  for (const a of op.attributes) {
    const optional = a.kind === 'dtype' || a.kind === 'choice' || a.fallback !== null;
    const type = a.kind === 'dtype' ? 'O' : a.kind === 'choice' ? union(a.choices) : 'number';
    const fallback =
      a.kind === 'choice'
        ? a.choices[0]
        : a.kind === 'dtype'
          ? variables.has('T')
            ? 'the dtype of T'
            : 'f32'
          : a.fallback;
    fields.push(
      `  /** ${a.note}${optional ? `; default ${fallback}` : ''}. */\n  ${camel(a.name)}${optional ? '?' : ''}: ${type}${optional ? ' | undefined' : ''};`,
    );
  }
  const order = [...variables.keys()].sort((a, b) => (a === 'O') - (b === 'O'));
  // a type variable without required inference site falls back to what its dtypes allow
  const generics = order.map(
    (v) => `${v} extends ${union(variables.get(v))}${v === 'O' ? ` = ${variables.has('T') ? 'T' : "'f32'"}` : ''}`,
  );
  // defaults must come last: every variable after the first with a default needs one
  const parameters = generics.length ? `<${generics.join(', ')}>` : '';
  const names = order.length ? `<${order.join(', ')}>` : '';
  // NoInfer: O comes from the attribute or its default, never from the type that the caller would like to have
  const outputName = (type) => (type === 'O' && output ? 'NoInfer<O>' : type);
  const outputType = (o) => `Tensor<${o.type && variables.has(o.type) ? outputName(o.type) : union(o.dtypes)}>`;
  const args = inputs.map((o) => `args.${camel(o.name)}`).join(', ');
  const values = op.attributes
    .map((a) => {
      const value = `args.${camel(a.name)}`;
      if (a.kind === 'dtype') return `dtypeNumber(${value})`;
      if (a.kind === 'choice') return `choiceNumber(${value}, [${a.choices.map((c) => `'${c}'`).join(', ')}])`;
      return value;
    })
    .join(', ');
  const call = `cx.run(${number}, [${args}], [${values}])`;
  let result, body;
  if (outputs.length === 0) {
    result = 'void';
    body = `  ${call};`;
  } else if (outputs.length === 1) {
    result = outputType(outputs[0]);
    body = `  return ${call}[0] as ${result};`;
  } else {
    result = `{ ${outputs.map((o) => `${camel(o.name)}${o.optional ? '?' : ''}: ${outputType(o)}${o.optional ? ' | undefined' : ''}`).join('; ')} }`;
    const list = outputs.map((o) => camel(o.name));
    body = `  const [${list.join(', ')}] = ${call};\n  return { ${outputs
      .map(
        (o) =>
          `${camel(o.name)}: ${o.optional ? `(${camel(o.name)} ?? undefined)` : camel(o.name)} as ${outputType(o)}${o.optional ? ' | undefined' : ''}`,
      )
      .join(', ')} };`;
  }
  const docs = outputs
    .map((o) => ` * - \`${camel(o.name)}\` ${o.dims === '*' ? '' : `[${o.dims}]`}: ${o.note}.`)
    .join('\n');
  return `export interface ${pascal(op.name)}Args${parameters} {
${fields.join('\n')}
}

/**
 * ${op.summary}${cpuOnly(op)}
 *
 * \`${op.formula}\`
 *${docs ? `\n * Returns\n${docs}\n *` : ''}
 * @throws HyperBagelError BAD_DTYPE, BAD_SHAPE, BAD_DEVICE, BAD_OPTION, DISPOSED at the call
 */
export function ${camel(op.name)}${parameters}(cx: Context, args: ${pascal(op.name)}Args${names}): ${result} {
${body}
}
`;
}

function opsModule() {
  return `// Made by \`npm run gen\` from the op contracts in csrc/ops. Do not edit.
import type { Context } from '../tensor/context.js';
import { DTYPES, type DType } from '../tensor/dtype.js';
import type { Tensor } from '../tensor/tensor.js';

function dtypeNumber(dtype: DType | undefined): number | undefined {
  return dtype === undefined ? undefined : DTYPES.indexOf(dtype);
}

function choiceNumber(choice: string | undefined, choices: readonly string[]): number | undefined {
  return choice === undefined ? undefined : choices.indexOf(choice);
}

${ops.map(opFunction).join('\n')}`;
}

function opsPage() {
  const cell = (text) => text.replaceAll('|', '\\|');
  const sections = ops.map((op) => {
    const operands = op.operands.map((o) => {
      const notes = [o.optional && 'optional', o.mayBePacked && 'may be packed'].filter(Boolean);
      return `| \`${o.name}\` | ${o.role} | ${o.dtypes.join(', ')}${o.type ? ` (${o.type})` : ''} | ${o.dims === '*' ? 'any' : `[${o.dims}]`} | ${cell(o.note)}${notes.length ? ` (${notes.join(', ')})` : ''} |`;
    });
    const attributes = op.attributes.map((a) => {
      const range =
        a.kind === 'choice' ? a.choices.join(', ') : a.kind === 'dtype' ? 'a dtype' : `${a.kind}, ${a.min} to ${a.max}`;
      const fallback = a.kind === 'choice' ? a.choices[0] : a.kind === 'dtype' ? 'that of T' : (a.fallback ?? 'none');
      return `| \`${a.name}\` | ${range} | ${fallback} | ${cell(a.note)} |`;
    });
    return [
      `## ${camel(op.name)}`,
      '',
      `${op.summary}${op.liveDim ? ` Rows (dim ${op.liveDim}) are live up to \`rows\`.` : ''}${cpuOnly(op)}`,
      '',
      '```text',
      op.formula.replaceAll('; ', '\n'),
      '```',
      '',
      '| operand | role | dtypes | dims | |',
      '|---|---|---|---|---|',
      ...operands,
      ...(attributes.length ? ['', '| attribute | values | default | |', '|---|---|---|---|', ...attributes] : []),
      '',
    ].join('\n');
  });
  return `# Ops

Made by \`npm run gen\` from the contracts in \`csrc/ops\`, so it cannot differ from what the code checks. Operand and attribute
names are those of the contracts; the TypeScript functions take them in camelCase. Operands with the same letter have the same
dtype; dims with the same name have the same size. Every op's cost in flops and bytes stands in its contract too: the bench and
the profiler print it.

A kernel alone:

\`\`\`ts
import { Context, ops } from 'hyper-bagel';

const cx = await Context.create({ device: 'cpu' });
const x = cx.tensor('f32', [2, 4], [1, 2, 3, 4, 5, 6, 7, 8]);
const weight = cx.tensor('f32', [4], [1, 1, 1, 1]);
const { out } = ops.rmsNorm(cx, { x, weight });
console.log(await out.data());
await cx.dispose();
\`\`\`

${sections.join('\n')}`;
}

const files = {
  'lib/generated/error-codes.ts': errorCodes(),
  'lib/generated/ops.ts': opsModule(),
  'docs/ops.md': opsPage(),
};
const check = process.argv.includes('--check');
const folder = check ? mkdtempSync(path.join(root, '.gen-')) : root;
let stale = 0;
try {
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    writeFileSync(path.join(folder, file), text);
    execFileSync(
      path.join(root, 'node_modules/.bin/biome'),
      ['check', '--write', '--config-path', root, path.join(folder, file)],
      { stdio: 'pipe' },
    );
    if (check && readFileSync(path.join(folder, file), 'utf8') !== readFileSync(path.join(root, file), 'utf8')) {
      process.stderr.write(`${file} is stale: run npm run gen\n`);
      stale++;
    }
  }
} finally {
  if (check) rmSync(folder, { recursive: true, force: true });
}
process.exitCode = stale ? 1 : 0;
