// The first tab: one text, and what the model says of it.

import { call, stages } from "./api.js";
import { bars } from "./bars.js";
import { setUpCode } from "./code.js";
import { byId, el, fill, show } from "./dom.js";
import { count, milliseconds, percent, plural } from "./format.js";
import { patiently } from "./patience.js";
import { session, thresholdOf } from "./session.js";

const SLOW_MS = 1500;
const ASLEEP_MS = 5000;

let running = null;

export function setUpText() {
  const input = byId("text-input");
  const renderCode = setUpCode(() => input.value);
  if (/Mac|iPhone|iPad/.test(navigator.platform)) byId("text-key").textContent = "⌘";
  byId("text-form").addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) running.abort(new DOMException("cancelled", "AbortError"));
    else classify({});
  });
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    if (!running) classify({});
  });
  input.addEventListener("input", renderCode);
}

async function classify(options) {
  const text = byId("text-input").value;
  if (text.trim() === "") {
    fail("Write a text first.");
    byId("text-input").focus();
    return;
  }
  running = new AbortController();
  const { signal } = running;
  byId("text-button").textContent = "Cancel";
  byId("answer").setAttribute("aria-busy", "true");
  const hints = [
    setTimeout(() => hint("Waiting for the answer…"), SLOW_MS),
    setTimeout(() => hint("Still waiting: a deployment that sleeps takes a moment to wake up."), ASLEEP_MS),
  ];
  const stopHints = () => hints.forEach(clearTimeout);
  try {
    const answer = await patiently(() => call("v1/classification", { body: { input: text, ...options }, signal }), {
      signal,
      waiting: (seconds, error) => {
        stopHints();
        hint(`${error.message} Trying again in ${Math.ceil(seconds)} s.`);
      },
    });
    render(answer, options);
  } catch (error) {
    if (signal.aborted) hint("Cancelled.");
    else fail(error.message);
  } finally {
    stopHints();
    running = null;
    byId("text-button").textContent = "Classify";
    byId("answer").removeAttribute("aria-busy");
  }
}

function hint(text) {
  show(false, byId("answer-error"));
  byId("answer-said").textContent = text;
  fill(byId("answer-body"), el("p", { class: "empty" }, text));
}

function fail(message) {
  fill(byId("answer-body"));
  byId("answer-said").textContent = "";
  byId("answer-error").textContent = message;
  show(true, byId("answer-error"));
}

function render({ body, headers, milliseconds: total }, options) {
  const [row] = body.data;
  const shares = Object.entries(row.probs);
  show(false, byId("answer-error"));
  byId("answer-said").textContent = row.labels.length
    ? row.labels.map((label) => `${label}, ${percent(row.probs[label])}`).join("; ")
    : "No label reaches its threshold.";
  fill(
    byId("answer-body"),
    el("h2", { class: "unseen" }, "Answer"),
    headline(row),
    bars(shares, row.labels, thresholdOf),
    session.card && session.card.task !== "Multiclass" && el("p", { class: "legend muted small" }, "threshold of the label"),
    length(body.usage, options),
    clocks(headers, total, body.usage.prompt_tokens),
  );
}

function headline({ label, labels, probs }) {
  if (labels.length > 1) {
    return el("p", { class: "predicted several" }, labels.map((each) => [el("bdi", { class: "tag" }, each), " "]));
  }
  if (label !== null) {
    return el("p", { class: "predicted" }, el("bdi", {}, label), " ", el("span", { class: "share" }, percent(probs[label])));
  }
  const names = Object.keys(probs);
  const none = names.length === 1 ? ["not ", el("bdi", {}, names[0])] : ["none of the labels"];
  return el("p", { class: "predicted none" }, none);
}

/** What became of a text that is longer than the model reads. */
function length(usage, options) {
  const most = session.card?.maxLength ? `the ${plural(session.card.maxLength, "token")} that` : "what";
  if (options.long_text) {
    return el("p", { class: "note" }, "The text was read whole, in windows.");
  }
  if (!usage.truncated) return null;
  const whole = el("button", { type: "button", class: "link" }, "Read all of it");
  whole.addEventListener("click", () => running ?? classify({ long_text: { strategy: "Max" } }));
  return el("p", { class: "note warn" }, `The text is longer than ${most} the model reads; the rest was cut. `, whole);
}

function clocks(headers, total, tokens) {
  const found = stages(headers.get("server-timing"));
  const server = Object.values(found).reduce((sum, each) => sum + each, 0);
  const held = Number(headers.get("x-classifier-held-ms") ?? 0);
  const fact = (name, value, title) => el("div", { title }, el("dt", {}, name), el("dd", {}, value));
  const parts = Object.entries(found).map(([name, value]) => `${name} ${milliseconds(value)}`);
  return el(
    "dl",
    { class: "facts" },
    fact("Total", milliseconds(total), "from this browser and back"),
    server > 0 && fact("Server", milliseconds(server), parts.join(", ")),
    held > 0 && fact("Waking up", milliseconds(held)),
    fact("Tokens", count(tokens)),
  );
}
