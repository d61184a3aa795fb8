// Checks JSON against the library's own type declarations: each member that is declared as always
// there must be there, and each member must have a declared type.
//
// The declarations are regular enough for a small reader: interfaces, type aliases and namespaces.

import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/stripe/esm/resources');

/** @type {Map<string, {types: Map<string, any>, imports: Map<string, [string, string]>}>} */
const files = new Map();

function load(file) {
  if (files.has(file)) return files.get(file);
  const text = fs
    .readFileSync(file, 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/\/\/.*$/gm, '');
  const found = { types: new Map(), imports: new Map() };
  files.set(file, found);
  for (const [, names, from] of text.matchAll(/import\s*\{([^}]*)\}\s*from\s*'([^']+)'/g)) {
    const target = path.resolve(path.dirname(file), from.replace(/\.js$/, '.d.ts'));
    for (const name of names.split(',').map((n) => n.trim()).filter(Boolean)) {
      const [original, local] = name.split(/\s+as\s+/);
      found.imports.set(local ?? original, [target, original]);
    }
  }
  readBlock(text, '', found.types);
  return found;
}

/** The index after the bracket that closes the one at `open`. */
function closing(text, open) {
  let depth = 0;
  for (let at = open; at < text.length; at += 1) {
    if ('{[(<'.includes(text[at])) depth += 1;
    if ('}])'.includes(text[at]) || (text[at] === '>' && text[at - 1] !== '=')) depth -= 1;
    if (depth === 0) return at + 1;
  }
  throw new Error('unbalanced declarations');
}

function readBlock(text, prefix, types) {
  const pattern = /(?:export\s+)?(?:declare\s+)?(namespace|interface|type|class)\s+(\w+)/g;
  for (let match = pattern.exec(text); match; match = pattern.exec(text)) {
    const [, kind, name] = match;
    const full = prefix + name;
    if (kind === 'type') {
      const end = endOfType(text, text.indexOf('=', pattern.lastIndex) + 1);
      types.set(full, { alias: text.slice(text.indexOf('=', pattern.lastIndex) + 1, end).trim() });
      pattern.lastIndex = end;
      continue;
    }
    const head = text.slice(pattern.lastIndex, text.indexOf('{', pattern.lastIndex));
    const open = text.indexOf('{', pattern.lastIndex);
    const end = closing(text, open);
    const inner = text.slice(open + 1, end - 1);
    if (kind === 'namespace') readBlock(inner, `${full}.`, types);
    if (kind === 'interface') {
      const base = /extends\s+([\w.]+)/.exec(head)?.[1];
      types.set(full, { members: readMembers(inner), base });
    }
    pattern.lastIndex = end;
  }
}

function endOfType(text, from) {
  for (let at = from; at < text.length; at += 1) {
    if ('{[(<'.includes(text[at])) at = closing(text, at) - 1;
    else if (text[at] === ';') return at;
  }
  return text.length;
}

function readMembers(text) {
  const members = [];
  let at = 0;
  while (at < text.length) {
    const end = endOfType(text, at);
    const match = /^\s*(?:readonly\s+)?(\w+)(\?)?\s*:\s*([\s\S]+)$/.exec(text.slice(at, end));
    if (match) members.push({ name: match[1], optional: Boolean(match[2]), type: match[3].trim() });
    at = end + 1;
  }
  return members;
}

/** Splits at `|` outside of brackets. */
function alternatives(type) {
  const parts = [];
  let start = 0;
  for (let at = 0; at <= type.length; at += 1) {
    if (at < type.length && '{[(<'.includes(type[at])) at = closing(type, at) - 1;
    else if (at === type.length || type[at] === '|') {
      parts.push(type.slice(start, at).trim());
      start = at + 1;
    }
  }
  return parts.filter(Boolean);
}

/** Finds a type by its name as seen from `scope` in `file`. */
function resolve(file, scope, name) {
  const { types, imports } = load(file);
  for (let inner = scope; ; inner = inner.includes('.') ? inner.slice(0, inner.lastIndexOf('.')) : '') {
    const full = inner ? `${inner}.${name}` : name;
    if (types.has(full)) return { file, full, ...types.get(full) };
    if (!inner) break;
  }
  const [first, ...rest] = name.split('.');
  if (imports.has(first)) {
    const [target, original] = imports.get(first);
    return resolve(target, '', [original, ...rest].join('.'));
  }
  return null;
}

function membersOf(type) {
  const base = type.base ? resolve(type.file, '', type.base) : null;
  const own = type.members.map((member) => ({ ...member, file: type.file, scope: type.full }));
  return base ? [...membersOf(base).filter((m) => !own.some((o) => o.name === m.name)), ...own] : own;
}

function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What is wrong with `value` as `type`; an empty list if nothing is. */
function mistakes(value, type, file, scope, where) {
  const options = alternatives(type);
  if (options.length > 1) {
    let best = null;
    for (const option of options) {
      const found = mistakes(value, option, file, scope, where);
      if (found.length === 0) return [];
      // The complaint of the alternative that fits in kind says most.
      if (isObject(value) && (best === null || found.length > 1 || found[0].startsWith(`${where}.`))) best = found;
    }
    return best ?? [`${where}: ${JSON.stringify(value)} is not ${type.slice(0, 80)}`];
  }
  const wrong = [`${where}: ${JSON.stringify(value)?.slice(0, 60)} is not ${type.slice(0, 60)}`];
  const fits = (good) => (good ? [] : wrong);
  if (type === 'null' || type === 'void') return fits(value === null);
  if (type === 'string' || type === 'OtherString' || type === 'Decimal') return fits(typeof value === 'string');
  if (type === 'number') return fits(Number.isInteger(value));
  if (type === 'boolean' || type === 'true' || type === 'false') {
    return fits(typeof value === 'boolean' && (type === 'boolean' || String(value) === type));
  }
  if (type.startsWith("'")) return fits(value === type.slice(1, -1));
  if (type === 'Metadata') {
    return fits(isObject(value) && Object.values(value).every((v) => typeof v === 'string'));
  }
  const generic = /^(Array|ApiList|Partial)<([\s\S]+)>$/.exec(type);
  if (generic) {
    const [, outer, inner] = generic;
    if (outer === 'Partial') return fits(isObject(value));
    const rows = outer === 'Array' ? value : value?.data;
    if (!Array.isArray(rows)) return wrong;
    const list = outer === 'ApiList' && (value.object !== 'list' || typeof value.has_more !== 'boolean' || typeof value.url !== 'string');
    return [
      ...(list ? [`${where}: not a list object`] : []),
      ...rows.flatMap((row, n) => mistakes(row, inner.trim(), file, scope, `${where}[${n}]`)),
    ];
  }
  if (type.startsWith('{')) return fits(isObject(value));
  const found = resolve(file, scope, type);
  if (!found) return [`${where}: no declaration of ${type} in ${file}`];
  if (found.alias !== undefined) {
    const outer = found.full.includes('.') ? found.full.slice(0, found.full.lastIndexOf('.')) : '';
    return mistakes(value, found.alias, found.file, outer, where);
  }
  if (!isObject(value)) return wrong;
  const members = membersOf(found);
  if (members.length === 0) return []; // declared open, as an event's object is
  const known = members.flatMap((member) => {
    const at = `${where}.${member.name}`;
    if (!(member.name in value)) {
      return member.optional || member.type === 'void' ? [] : [`${at}: missing`];
    }
    return mistakes(value[member.name], member.type, member.file, member.scope, at);
  });
  const surplus = Object.keys(value)
    .filter((name) => !members.some((member) => member.name === name))
    .map((name) => `${where}.${name}: not declared`);
  return [...known, ...surplus];
}

/** The names of all parameters of the type `name`, written as they are sent: `line_items[0][quantity]`. */
export function parameters(file, name) {
  const at = path.join(ROOT, `${file}.d.ts`);
  const found = resolve(at, '', name) ?? resolve(at, '', `Checkout.${name}`);
  const names = new Set();
  const walk = (type, from, scope, prefix) => {
    for (const option of alternatives(type)) {
      const generic = /^(Array|Emptyable)<([\s\S]+)>$/.exec(option);
      const known = !generic && /^[A-Z][\w.]*$/.test(option) ? resolve(from, scope, option) : null;
      if (generic) walk(generic[2].trim(), from, scope, generic[1] === 'Array' ? `${prefix}[0]` : prefix);
      else if (known?.alias !== undefined) walk(known.alias, known.file, known.full.replace(/\.?\w+$/, ''), prefix);
      else if (known && membersOf(known).length > 0) {
        for (const { name: member, type: inner, file: source, scope: within } of membersOf(known)) {
          walk(inner, source, within, prefix ? `${prefix}[${member}]` : member);
        }
      } else names.add(prefix);
    }
  };
  walk(found.full, found.file, '', '');
  return [...names];
}

/** The literals that the type `name` may have. */
export function literals(file, name) {
  const found = resolve(path.join(ROOT, `${file}.d.ts`), '', name);
  return alternatives(found.alias).filter((option) => option.startsWith("'")).map((option) => option.slice(1, -1));
}

/** What is wrong with `value` as the resource `name`, declared in `resources/<file>.d.ts`. */
export function wrongs(value, file, name) {
  const raw = JSON.parse(JSON.stringify(value));
  return mistakes(raw, name, path.join(ROOT, `${file}.d.ts`), '', name);
}
