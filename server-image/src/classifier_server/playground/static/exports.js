// Results as files. Pure.

import { valueOf } from "./rows.js";

export const MOST_COLUMNS = 50;

/** Lines of CSV: the file's own columns, then what the model says; `expects` adds whether it is right. */
export function toCsv(items, columns, { task, labels, expects }) {
  const shares = labels.length <= MOST_COLUMNS ? labels : [];
  const head = [
    ...columns,
    "predicted",
    "probability",
    ...(expects ? ["correct"] : []),
    ...shares.map((label) => `p(${label})`),
    "error",
  ];
  const lines = items.map((item) => [
    ...columns.map((name) => written(valueOf(item.row, name))),
    item.result ? predicted(item.result, task) : "",
    item.result ? String(rounded(item.result.probability)) : "",
    ...(expects ? [item.right === undefined ? "" : String(item.right)] : []),
    ...shares.map((_, index) => (item.result ? String(rounded(item.result.shares[index])) : "")),
    fault(item),
  ]);
  // Spreadsheets take a file for UTF-8 by its mark.
  return [`\ufeff${line(head)}`, ...lines.map(line)];
}

/** Lines of JSONL: each row as it was, with what the model says under `predicted`. */
export function toJsonl(items, { expects }) {
  return items.map((item) => {
    const { result } = item;
    const found = result
      ? {
          predicted: {
            label: result.label,
            labels: result.labels,
            probs: Object.fromEntries(result.names.map((name, index) => [name, rounded(result.shares[index])])),
          },
          ...(expects && item.right !== undefined ? { correct: item.right } : {}),
        }
      : { error: fault(item) };
    return `${JSON.stringify({ ...item.row.cells, ...found })}\n`;
  });
}

/** A cell of CSV; what a spreadsheet would take for a formula gets an apostrophe in front. */
export function cell(text) {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",;\t\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

function line(cells) {
  return `${cells.map(cell).join(",")}\r\n`;
}

/** One label by its name; several as JSON, which the trainer reads as a completion. */
function predicted(result, task) {
  return task === "Multilabel" ? JSON.stringify(result.labels) : (result.label ?? "");
}

function fault(item) {
  if (item.result) return "";
  return item.fault ? `line ${item.row.line} ${item.fault}` : "not classified";
}

function written(value) {
  if (value === undefined || value === null) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function rounded(share) {
  return Number(share.toPrecision(6));
}
