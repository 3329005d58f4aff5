// The second tab: a file of texts, classified row by row.

import { call } from "./api.js";
import { classifyAll } from "./batch.js";
import { byId, el, fill, show } from "./dom.js";
import { MOST_COLUMNS } from "./exports.js";
import { bytes, count, duration, milliseconds, plural } from "./format.js";
import { Results } from "./results.js";
import { FileError, contentOf, guess, parse, textOf, valueOf } from "./rows.js";
import { expectedOf, isRight } from "./score.js";
import { loadCard, onSession, session } from "./session.js";

const SAMPLE_ROWS = 3;
const SAMPLE_CHARACTERS = 300;
// Of models with very many labels, only the most probable are asked for.
const MOST_SHARES = 10;
const REFRESH_MS = 500;
const SAME = "(none)";

let file = null;
let table = null;
/** Each {row, text} or {row, fault}, and as it goes {result}, {expected}, {right}. */
let items = [];
let running = null;
let truncated = 0;
let results = null;

export function setUpFile() {
  byId("file-input").addEventListener("change", (event) => {
    const [chosen] = event.target.files;
    if (chosen) openFile(chosen);
    event.target.value = "";
  });
  byId("file-other").addEventListener("click", () => {
    if (running) return;
    reset();
    byId("file-input").focus();
  });
  for (const id of ["file-text", "file-expected"]) byId(id).addEventListener("change", chosen);
  byId("file-start").addEventListener("click", start);
  byId("file-cancel").addEventListener("click", () => running?.abort(new DOMException("cancelled", "AbortError")));
  addEventListener("beforeunload", (event) => running && event.preventDefault());
  onSession(() => table && !running && chosen());
}

/** Reads a file and shows what is in it. */
export async function openFile(opened) {
  location.hash = "#file";
  if (running) return;
  reset();
  try {
    table = parse(await contentOf(opened));
  } catch (error) {
    if (!(error instanceof FileError)) throw error;
    byId("file-error").textContent = error.message;
    show(true, byId("file-error"));
    return;
  }
  file = opened;
  const { text, expected } = guess(table);
  const options = (names) => names.map((name) => el("option", { value: name }, name));
  fill(byId("file-text"), options(table.columns));
  fill(byId("file-expected"), el("option", { value: "" }, SAME), options(table.columns));
  byId("file-text").value = text;
  byId("file-expected").value = expected ?? "";
  byId("file-name").textContent = file.name;
  show(false, byId("drop"));
  show(true, byId("file-chosen"));
  chosen();
  byId("file-start").focus();
}

function reset() {
  [file, table, items, results] = [null, null, [], null];
  show(true, byId("drop"));
  show(false, byId("file-error"), byId("file-chosen"), byId("file-progress"), byId("file-results"));
}

/** Takes the columns that are chosen now; results of others are of no use any more. */
function chosen() {
  const column = byId("file-text").value;
  const before = items;
  const sameTexts = before.length > 0 && before[0].column === column;
  items = sameTexts ? before : table.rows.map((row) => ({ row, column, ...textOf(row, column) }));
  if (!sameTexts) {
    truncated = 0;
    show(false, byId("file-progress"), byId("file-results"));
  }
  const faults = items.filter((item) => item.text === undefined);
  const readable = items.length - faults.length;
  byId("file-facts").textContent = `${plural(table.rows.length, "row")} · ${bytes(file.size)}`;
  byId("file-faults").textContent =
    `${plural(faults.length, "row")} cannot be classified` +
    (faults.length ? `; the first: line ${faults[0].row.line} ${faults[0].fault}.` : "");
  show(faults.length > 0, byId("file-faults"));
  renderSample(items.filter((item) => item.text !== undefined).slice(0, SAMPLE_ROWS));
  const left = items.filter((item) => item.text !== undefined && !item.result && !item.fault).length;
  byId("file-start").textContent =
    left === readable ? `Classify ${plural(readable, "row")}` : `Classify the other ${plural(left, "row")}`;
  show(left > 0, byId("file-start").parentElement);
  judge();
  if (sameTexts && items.some((item) => item.result)) renderResults();
}

function renderSample(some) {
  const expected = byId("file-expected").value;
  fill(
    byId("file-sample"),
    el(
      "ul",
      { class: "sample" },
      some.map(({ row, text }) =>
        el(
          "li",
          {},
          expected && el("bdi", { class: "tag" }, shown(valueOf(row, expected))),
          el("span", { dir: "auto" }, text.length > SAMPLE_CHARACTERS ? `${text.slice(0, SAMPLE_CHARACTERS)}…` : text),
        ),
      ),
    ),
  );
}

function shown(value) {
  if (value === undefined || value === null || value === "") return "–";
  return typeof value === "string" ? value : JSON.stringify(value);
}

async function start() {
  running = new AbortController();
  const { signal } = running;
  lock(true);
  show(true, byId("file-progress"), byId("file-cancel"));
  show(false, byId("file-stopped"));
  const begun = { time: performance.now(), done: done() };
  let drawn = 0;
  const progress = () => {
    renderProgress(begun);
    if (performance.now() - drawn < REFRESH_MS) return;
    drawn = performance.now();
    renderResults();
  };
  renderProgress(begun);
  let stopped = null;
  try {
    if (session.card === null) await loadCard();
    await classifyAll(items, { send, signal, progress, waiting });
  } catch (error) {
    stopped = signal.aborted ? "Cancelled." : `Stopped: ${error.message}`;
  }
  running = null;
  lock(false);
  renderProgress(begun);
  show(false, byId("file-cancel"));
  if (stopped) {
    byId("file-stopped").textContent = `${stopped} What was answered so far stands below.`;
    show(true, byId("file-stopped"));
  }
  say(summary(begun));
  chosen();
  renderResults();
}

function lock(locked) {
  for (const id of ["file-text", "file-expected", "file-start", "file-other"]) byId(id).disabled = locked;
}

async function send(texts, signal) {
  const { labels } = session.card;
  const few = labels.length <= MOST_COLUMNS;
  const { body } = await call("v1/classification", {
    body: few ? { input: texts } : { input: texts, top_k: MOST_SHARES },
    signal,
  });
  truncated += body.usage.truncated;
  return body.data.map(({ label, labels: counting, probs }) => {
    // One array of names for all rows of a model with few labels.
    const names = few ? labels : Object.keys(probs);
    const shares = Float64Array.from(names, (name) => probs[name]);
    const probability = label === null ? Math.max(...shares) : probs[label];
    return { label, labels: counting, probability, names, shares };
  });
}

function waiting(seconds, error) {
  say(`${error.message} Trying again in ${Math.ceil(seconds)} s.`);
}

/** For eyes and for screen readers, which are not told of every step. */
function say(text) {
  byId("file-pace").textContent = text;
  byId("file-said").textContent = text;
}

const done = () => items.filter((item) => item.result || item.fault).length;

function renderProgress(begun) {
  const now = done();
  byId("file-done").textContent = `${count(now)} of ${plural(items.length, "row")}`;
  byId("file-bar").max = items.length;
  byId("file-bar").value = now;
  const seconds = (performance.now() - begun.time) / 1000;
  const pace = (now - begun.done) / seconds;
  if (now > begun.done && seconds > 0.5) {
    byId("file-pace").textContent = `${count(pace)} rows/s · about ${duration((items.length - now) / pace)} left`;
  } else if (now === begun.done) {
    byId("file-pace").textContent = "Sending the first rows…";
  }
}

function summary(begun) {
  const seconds = (performance.now() - begun.time) / 1000;
  const rows = done() - begun.done;
  const cut = truncated ? ` ${plural(truncated, "text was", "texts were")} longer than the model reads, and cut.` : "";
  return `${plural(rows, "row")} in ${milliseconds(1000 * seconds)}.${cut}`;
}

/** Compares with the column of what is expected. */
function judge() {
  const column = byId("file-expected").value;
  const { card } = session;
  for (const item of items) {
    const value = column && card ? valueOf(item.row, column) : undefined;
    item.expected = value === undefined ? null : expectedOf(value, card.task, card.labels);
  }
  const others = new Set(card ? items.flatMap((item) => item.expected ?? []) : []);
  for (const label of card?.labels ?? []) others.delete(label);
  const [one] = others;
  byId("file-others").textContent =
    others.size === 1 ? `The model has no label “${one}”.` : `The model has none of ${others.size} expected labels, as “${one}”.`;
  show(others.size > 0, byId("file-others"));
}

function renderResults() {
  if (!session.card) return;
  for (const item of items) {
    item.right = item.result && item.expected ? isRight(item.expected, item.result.labels) : undefined;
  }
  results ??= new Results(byId("file-results"));
  results.render(items, { card: session.card, columns: table.columns, name: file.name, running: running !== null });
  show(true, byId("file-results"));
}
