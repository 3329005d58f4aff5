// Files into rows. Pure, but for reading the file.

export const MOST_BYTES = 200e6;
// As the trainer looks for them.
const TEXTS = ["prompt", "input", "text"];
const EXPECTED = ["completion", "expected_output", "label", "expected", "labels", "target"];
const DELIMITERS = [",", ";", "\t"];
const LOOKED_AT = 200;

/** A file that cannot be read; the message says what to do about it. */
export class FileError extends Error {}

/** The content of a file: UTF-8, or UTF-16 with its mark, as spreadsheets write it. */
export async function contentOf(file) {
  if (file.size > MOST_BYTES) throw new FileError(`${file.name} is larger than 200 MB: split it.`);
  const raw = new Uint8Array(await file.arrayBuffer());
  const mark = raw[0] * 256 + raw[1];
  const encoding = mark === 0xfffe ? "utf-16le" : mark === 0xfeff ? "utf-16be" : "utf-8";
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(raw);
  } catch {
    throw new FileError(`${file.name} is not text in UTF-8: save it as “CSV UTF-8”, or as JSONL.`);
  }
}

/**
 * {columns, rows, kind}: `columns` are names, and each row is {line, cells} with its values by column, or {line, fault}
 * where the line is not to be read. `kind` is "csv" or "json". Throws FileError.
 */
export function parse(content) {
  const start = content.trimStart();
  if (start === "") throw new FileError("The file is empty.");
  const table = start[0] === "{" ? fromLines(content) : start[0] === "[" ? fromArray(content) : fromCsv(content);
  if (!table.rows.some((row) => row.cells)) {
    const [first] = table.rows;
    throw new FileError(first ? `No row can be read: line ${first.line} ${first.fault}.` : "The file has no rows.");
  }
  return table;
}

/** The columns that hold texts and what is expected of them; `expected` is null where none is called so. */
export function guess(table) {
  const named = (names) => names.find((name) => table.columns.includes(name));
  const text = named(TEXTS) ?? wordiest(table);
  const expected = named(EXPECTED);
  return { text, expected: expected === undefined || expected === text ? null : expected };
}

export function valueOf(row, column) {
  return row.cells && Object.hasOwn(row.cells, column) ? row.cells[column] : undefined;
}

/** The text of a row as {text} or {fault}. */
export function textOf(row, column) {
  if (row.fault) return { fault: row.fault };
  const value = valueOf(row, column);
  if (value === undefined || value === null) return { fault: `has no “${column}”` };
  if (typeof value !== "string") return { fault: `has a “${column}” that is no text` };
  return value.trim() === "" ? { fault: "has an empty text" } : { text: value };
}

// -- JSON -----------------------------------------------------------------------------------------------------------

function fromLines(content) {
  const rows = [];
  let line = 0;
  for (const part of content.split("\n")) {
    line += 1;
    if (part.trim() === "") continue;
    rows.push(row(line, () => JSON.parse(part)));
  }
  return { kind: "json", columns: columnsOf(rows), rows };
}

function fromArray(content) {
  let values;
  try {
    values = JSON.parse(content);
  } catch {
    return fromLines(content);
  }
  const rows = values.map((value, index) => row(index + 1, () => value));
  return { kind: "json", columns: columnsOf(rows), rows };
}

function row(line, read) {
  let value;
  try {
    value = read();
  } catch {
    return { line, fault: "is not JSON" };
  }
  if (typeof value === "string") return { line, cells: { text: value } };
  if (value === null || typeof value !== "object" || Array.isArray(value)) {
    return { line, fault: 'is no object: write {"text": "…"}' };
  }
  return { line, cells: value };
}

function columnsOf(rows) {
  const found = new Set();
  for (const { cells } of rows.slice(0, LOOKED_AT)) {
    for (const name of Object.keys(cells ?? {})) found.add(name);
  }
  return [...found];
}

// -- CSV ------------------------------------------------------------------------------------------------------------

function fromCsv(content) {
  let columns = null;
  const rows = [];
  for (const { line, cells } of records(content, delimiterOf(content))) {
    if (columns === null) {
      columns = unique(cells.map((name) => name.trim()));
    } else if (cells.length === columns.length) {
      rows.push({ line, cells: Object.fromEntries(columns.map((name, index) => [name, cells[index]])) });
    } else if (cells.length > 1 || cells[0].trim() !== "") {
      const fault = `has ${cells.length} columns and the header ${columns.length}: quote a text that holds the separator`;
      rows.push({ line, fault });
    }
  }
  return { kind: "csv", columns: columns ?? [], rows };
}

/** The first usual delimiter under which the header names a text, else the one that makes the most columns. */
function delimiterOf(content) {
  const heads = DELIMITERS.map((delimiter) => [delimiter, records(content, delimiter).next().value?.cells ?? []]);
  const known = heads.find(([, cells]) => cells.some((name) => TEXTS.includes(name.trim())));
  return (known ?? heads.reduce((best, each) => (each[1].length > best[1].length ? each : best)))[0];
}

/**
 * The records of a CSV text, each with the line it begins on: cells may be quoted, a quote inside is doubled, and a
 * quoted cell may hold line ends. Blank lines are left out.
 */
export function* records(content, delimiter) {
  let at = 0;
  let line = 1;
  while (at < content.length) {
    const begin = line;
    const cells = [];
    for (;;) {
      let cell;
      if (content[at] === '"') {
        [cell, at] = quoted(content, at + 1, begin);
        line += linesIn(cell);
      } else {
        cell = "";
      }
      const end = endOfCell(content, at, delimiter);
      cell += content.slice(at, end);
      at = end;
      cells.push(cell);
      if (content[at] !== delimiter) break;
      at += 1;
    }
    at += content[at] === "\r" && content[at + 1] === "\n" ? 2 : 1;
    line += 1;
    if (cells.length > 1 || cells[0] !== "") yield { line: begin, cells };
  }
}

/** The cell behind an opening quote, and the place behind its closing one. */
function quoted(content, start, line) {
  let from = start;
  for (;;) {
    const end = content.indexOf('"', from);
    if (end === -1) throw new FileError(`Line ${line} has a quote that is never closed: double a quote inside a text.`);
    if (content[end + 1] !== '"') return [content.slice(start, end).replaceAll('""', '"'), end + 1];
    from = end + 2;
  }
}

function endOfCell(content, start, delimiter) {
  let at = start;
  while (at < content.length && content[at] !== delimiter && content[at] !== "\n" && content[at] !== "\r") at += 1;
  return at;
}

function linesIn(cell) {
  return (cell.match(/\r\n|\n|\r/g) ?? []).length;
}

function unique(names) {
  const seen = new Map();
  return names.map((name, index) => {
    const wanted = name || `column ${index + 1}`;
    const times = seen.get(wanted) ?? 0;
    seen.set(wanted, times + 1);
    return times ? `${wanted} (${times + 1})` : wanted;
  });
}

/** The column with the longest texts. */
function wordiest(table) {
  const some = table.rows.slice(0, LOOKED_AT);
  const lengthOf = (value) => (typeof value === "string" ? value.length : 0);
  const length = (name) => some.reduce((sum, row) => sum + lengthOf(valueOf(row, name)), 0);
  return table.columns.reduce((best, name) => (length(name) > length(best) ? name : best), table.columns[0]);
}
