// What a file expects, compared with what the model says. Pure.

const TRUE = new Set(["1", "1.0", "true", "yes"]);

/**
 * The labels that a row expects, as an array; null where it expects nothing.
 *
 * As the trainer reads them: {label: 0 or 1}, a label's name, a list of names, a class's number, or the JSON text of
 * these. For Multilabel also names with | ; or , between them. Binary has one label: any other name is its absence.
 */
export function expectedOf(value, task, labels) {
  const given = typeof value === "string" ? fromText(value) : value;
  if (given === undefined || given === null) return null;
  if (Array.isArray(given)) return known(given.map(String), task, labels);
  if (typeof given === "object") {
    return known(Object.keys(given).filter((label) => Number(given[label]) === 1), task, labels);
  }
  const name = String(given).trim();
  if (task === "Binary" && !labels.includes(name)) {
    if (TRUE.has(name.toLowerCase())) return [...labels];
    return name === "" ? null : [];
  }
  if (task === "Multilabel" && !labels.includes(name)) {
    if (name === "") return [];
    const parts = name.split(/[|;,]/).map((part) => part.trim()).filter(Boolean);
    if (parts.every((part) => labels.includes(part))) return parts;
  }
  if (name === "") return null;
  return known([name], task, labels);
}

function known(names, task, labels) {
  const resolved = names.map((name) => (labels.includes(name) || !/^\d+$/.test(name) ? name : (labels[name] ?? name)));
  return task === "Binary" ? resolved.filter((name) => labels.includes(name)) : [...new Set(resolved)];
}

function fromText(value) {
  const text = value.trim();
  if (!["{}", "[]"].includes(text.slice(0, 1) + text.slice(-1))) return value;
  try {
    return JSON.parse(text);
  } catch {
    return value;
  }
}

export function isRight(expected, predicted) {
  return expected.length === predicted.length && expected.every((label) => predicted.includes(label));
}

/**
 * {rows, right, accuracy, macroF1, confusion} of pairs [expected, predicted], each an array of labels; null of none.
 * Accuracy counts whole sets of labels; macro F1 is the mean over the classes that are expected or predicted.
 * `confusion` is {labels, matrix} with expected labels by row, null for Multilabel.
 */
export function scores(pairs, task, labels, absent = `not ${labels[0]}`) {
  if (!pairs.length) return null;
  const right = pairs.filter(([expected, predicted]) => isRight(expected, predicted)).length;
  const exclusive = task !== "Multilabel";
  const named = exclusive ? pairs.map((pair) => pair.map((set) => [set[0] ?? absent])) : pairs;
  const tally = new Map();
  const of = (label) => tally.get(label) ?? tally.set(label, { both: 0, expected: 0, predicted: 0 }).get(label);
  for (const [expected, predicted] of named) {
    for (const label of expected) of(label).expected += 1;
    for (const label of predicted) {
      of(label).predicted += 1;
      if (expected.includes(label)) of(label).both += 1;
    }
  }
  const f1 = [...tally.values()].map((each) => (2 * each.both) / (each.expected + each.predicted));
  return {
    rows: pairs.length,
    right,
    accuracy: right / pairs.length,
    macroF1: f1.length ? f1.reduce((sum, value) => sum + value, 0) / f1.length : null,
    confusion: exclusive ? confusion(named, task === "Binary" ? [absent, ...labels] : labels) : null,
  };
}

function confusion(pairs, labels) {
  const names = [...new Set([...labels, ...pairs.flat(2)])];
  const place = new Map(names.map((name, index) => [name, index]));
  const matrix = names.map(() => names.map(() => 0));
  for (const [[expected], [predicted]] of pairs) matrix[place.get(expected)][place.get(predicted)] += 1;
  return { labels: names, matrix };
}
