// The third tab: the model card.

import { MOST_LABELS, heatMap, reliability } from "./charts.js";
import { byId, draw, el, fill } from "./dom.js";
import { count, percent, plural, score } from "./format.js";
import { onSession, session, thresholdOf } from "./session.js";

const SHOWN_LABELS = 50;
const SHOWN_MISTAKES = 10;

export function setUpModel() {
  let shown = null;
  onSession(() => {
    if (session.card === null || session.card === shown) return;
    shown = session.card;
    fill(byId("model-body"), ...sections(shown));
  });
}

function sections(card) {
  const { test } = card;
  return [
    test && figures(test),
    facts(card),
    labelTable(card),
    test?.confusion?.matrix || test?.reliability.length
      ? el("div", { class: "pair" }, confusion(test.confusion), calibration(test))
      : null,
    test?.confusion?.top.length ? mistakes(test.confusion.top) : null,
  ];
}

function figures(test) {
  const tile = (name, value, hint) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value), hint && el("dd", { class: "hint" }, hint));
  const than = (value) => (value == null ? null : `baseline ${percent(value)}`);
  return el(
    "section",
    { class: "tiles", "aria-label": "Test results" },
    el(
      "dl",
      {},
      tile("Accuracy", percent(test.accuracy), than(test.baseline?.accuracy)),
      test.macroF1 != null && tile("Macro F1", score(test.macroF1), test.baseline?.macroF1 != null && `baseline ${score(test.baseline.macroF1)}`),
      test.expectedCalibrationError != null && tile("Calibration error", percent(test.expectedCalibrationError), "probability against share right"),
      tile("Test rows", count(test.rows), "which it was not trained on"),
    ),
  );
}

function facts(card) {
  const base = card.baseModel;
  const found = [
    ["Checkpoint", card.checkpoint],
    ["Model", card.uri],
    ["Task", card.task],
    ["Labels", count(card.labels.length)],
    ["Longest text", plural(card.maxLength, "token")],
    ["Device", card.device],
    ["Precision", card.precision],
    ["Base model", base && (base.revision ? `${base.uri} at ${base.revision.slice(0, 12)}` : base.uri)],
    ["Trained by", card.method],
    ["Calibrated", card.calibrated == null ? null : card.calibrated ? "yes" : "no"],
  ];
  return el(
    "section",
    { class: "card" },
    el("h2", {}, "About"),
    el("dl", { class: "about" }, found.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, el("bdi", {}, value))))),
  );
}

function labelTable(card) {
  const tested = card.test?.labels ?? {};
  const has = (name) => Object.values(tested).some((each) => each[name] != null);
  const columns = [
    card.task !== "Multiclass" && ["Threshold", (label) => percent(thresholdOf(label))],
    has("precision") && ["Precision", (label) => figure(tested, label, "precision")],
    has("recall") && ["Recall", (label) => figure(tested, label, "recall")],
    has("f1") && ["F1", (label) => [gauge(own(tested, label)?.f1), figure(tested, label, "f1")]],
    has("support") && ["Test rows", (label) => (own(tested, label) ? count(own(tested, label).support) : "–")],
  ].filter(Boolean);
  if (!columns.length) {
    const [some, button] = unfolding(card.labels, (labels) => labels.map((label) => [el("bdi", { class: "tag" }, label), " "]), "p");
    return el("section", { class: "card" }, el("h2", {}, "Labels"), some, button);
  }
  const line = (label) =>
    el("tr", {}, el("th", { scope: "row" }, el("bdi", {}, label)), columns.map(([, value]) => el("td", { class: "n" }, value(label))));
  const [body, button] = unfolding(card.labels, (labels) => labels.map(line), "tbody");
  return el(
    "section",
    { class: "card" },
    el("h2", { id: "labels-title" }, "Labels"),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "figures", "aria-labelledby": "labels-title" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Label"), columns.map(([name]) => el("th", { scope: "col", class: "n" }, name)))),
        body,
      ),
    ),
    button,
  );
}

/** An element with the first fifty, and a button for the rest, if there is one. */
function unfolding(values, render, name) {
  const element = el(name, {}, render(values.slice(0, SHOWN_LABELS)));
  if (values.length <= SHOWN_LABELS) return [element, null];
  const button = el("button", { type: "button", class: "link" }, `Show all ${count(values.length)} labels`);
  button.addEventListener("click", () => {
    fill(element, render(values));
    button.remove();
  });
  return [element, button];
}

function own(tested, label) {
  return Object.hasOwn(tested, label) ? tested[label] : null;
}

function figure(tested, label, name) {
  const value = own(tested, label)?.[name];
  return value == null ? "–" : score(value);
}

function gauge(value) {
  return draw(
    "svg",
    { class: "track gauge", width: 56, height: 6, "aria-hidden": "true" },
    draw("rect", { class: "whole", width: "100%", height: 6, rx: 3 }),
    draw("rect", { class: "part", width: `${(100 * (value ?? 0)).toFixed(1)}%`, height: 6, rx: 3 }),
  );
}

function confusion(found) {
  if (!found?.matrix || found.labels.length > MOST_LABELS) return null;
  return el(
    "section",
    { class: "card" },
    el("h2", {}, "Expected and predicted"),
    heatMap(found),
    el("p", { class: "legend muted small" }, "Test rows; each row of the map is shaded by its own shares."),
  );
}

function calibration(test) {
  if (!test.reliability.length) return null;
  const before = test.beforeCalibration?.reliability;
  const key = (kind, text) => el("li", {}, el("span", { class: `key ${kind}`, "aria-hidden": "true" }), text);
  return el(
    "section",
    { class: "card" },
    el("h2", {}, "Calibration"),
    el("p", { class: "muted small" }, "Of the answers with a probability of 80%, about 80% should be right: on the diagonal."),
    reliability(test.reliability, before),
    el("ul", { class: "keys" }, key("after", "this model"), before?.length ? key("before", "before calibration") : null, key("diagonal", "ideal")),
  );
}

function mistakes(top) {
  return el(
    "section",
    { class: "card" },
    el("h2", {}, "Most frequent mistakes"),
    el(
      "ol",
      { class: "mistakes" },
      top.slice(0, SHOWN_MISTAKES).map(({ expected, predicted, count: rows }) =>
        el("li", {}, el("bdi", { class: "tag" }, expected), " taken for ", el("bdi", { class: "tag" }, predicted), el("span", { class: "n" }, plural(rows, "row"))),
      ),
    ),
  );
}
