// What came of a file: figures, what was predicted how often, the rows, and files to keep.

import { MOST_LABELS, heatMap } from "./charts.js";
import { draw, el, fill, save, show } from "./dom.js";
import { toCsv, toJsonl } from "./exports.js";
import { count, percent, plural, score } from "./format.js";
import { scores } from "./score.js";

const PAGE_ROWS = 50;
const SHOWN_CHARACTERS = 600;
const SHOWN_LABELS = 12;

const FILTERS = {
  all: ["All", (item) => item.result || item.fault],
  wrong: ["Wrong", (item) => item.right === false],
  failed: ["Failed", (item) => item.fault],
};

export class Results {
  constructor(root) {
    this.filter = "all";
    this.pages = 1;
    this.figures = el("div", { class: "tiles" });
    this.charts = el("div", { class: "pair" });
    this.list = el("section", { class: "card", "aria-label": "Rows" });
    fill(root, this.figures, this.charts, this.list);
  }

  /** The figures are drawn anew while it runs, the rest when it has ended. */
  render(items, context) {
    this.items = items;
    this.context = context;
    const { card, running } = context;
    const judged = items.filter((item) => item.right !== undefined);
    const found = scores(judged.map((item) => [item.expected, item.result.labels]), card.task, card.labels, card.absent);
    this.expects = judged.length > 0;
    this.renderFigures(found);
    show(!running, this.charts, this.list);
    if (running) return;
    const matrix = found?.confusion;
    fill(
      this.charts,
      this.distribution(),
      matrix && matrix.labels.length <= MOST_LABELS &&
        el("section", { class: "card" }, el("h3", {}, "Expected and predicted"), heatMap(matrix)),
    );
    this.renderList();
  }

  renderFigures(found) {
    const { items } = this;
    const failed = items.filter((item) => item.fault).length;
    const tile = (name, value, hint) =>
      el("div", {}, el("dt", {}, name), el("dd", {}, value), hint && el("dd", { class: "hint" }, hint));
    fill(
      this.figures,
      el(
        "dl",
        {},
        found && tile("Accuracy", percent(found.accuracy), `${count(found.right)} of ${plural(found.rows, "row")} right`),
        found?.macroF1 != null && tile("Macro F1", score(found.macroF1), "mean over the labels"),
        tile("Classified", count(items.filter((item) => item.result).length), `of ${plural(items.length, "row")}`),
        failed > 0 && tile("Failed", count(failed), "rows without an answer"),
      ),
    );
  }

  distribution() {
    const { task, absent } = this.context.card;
    const times = new Map();
    let answered = 0;
    for (const { result } of this.items) {
      if (!result) continue;
      answered += 1;
      const none = task === "Binary" ? absent : "none";
      for (const label of result.labels.length ? result.labels : [none]) times.set(label, (times.get(label) ?? 0) + 1);
    }
    const order = [...times].sort((one, other) => other[1] - one[1]);
    const rest = order.length - SHOWN_LABELS;
    return el(
      "section",
      { class: "card" },
      el("h3", {}, "Predicted labels"),
      el(
        "ol",
        { class: "bars" },
        order.slice(0, SHOWN_LABELS).map(([label, rows]) =>
          el(
            "li",
            { class: "bar counts" },
            el("bdi", { class: "name" }, label),
            draw(
              "svg",
              { class: "track", width: "100%", height: 10, "aria-hidden": "true" },
              draw("rect", { class: "whole", width: "100%", height: 10, rx: 3 }),
              draw("rect", { class: "part", width: `${((100 * rows) / order[0][1]).toFixed(2)}%`, height: 10, rx: 3 }),
            ),
            el("span", { class: "share", title: percent(rows / answered) }, count(rows)),
          ),
        ),
      ),
      rest > 0 && el("p", { class: "muted small" }, `and ${plural(rest, "other label")}`),
    );
  }

  renderList() {
    const chosen = this.items.filter(FILTERS[this.filter][1]);
    const shown = chosen.slice(0, PAGE_ROWS * this.pages);
    const more = el("button", { type: "button", class: "link" }, `Show ${count(Math.min(PAGE_ROWS, chosen.length - shown.length))} more`);
    more.addEventListener("click", () => {
      this.pages += 1;
      this.renderList();
    });
    fill(
      this.list,
      el("div", { class: "row" }, this.filters(), el("div", { class: "choices" }, this.saving("CSV"), this.saving("JSONL"))),
      shown.length ? this.table(shown) : el("p", { class: "empty" }, "No such row."),
      chosen.length > shown.length && more,
    );
  }

  filters() {
    const choose = (id) => {
      this.filter = id;
      this.pages = 1;
      this.renderList();
      this.list.querySelector(`input[value="${id}"]`).focus();
    };
    const usable = Object.entries(FILTERS).filter(([id, [, fits]]) => id === "all" || this.items.some(fits));
    if (!usable.some(([id]) => id === this.filter)) this.filter = "all";
    return el(
      "fieldset",
      { class: "segments" },
      el("legend", { class: "unseen" }, "Rows to show"),
      usable.map(([id, [title, fits]]) => {
        const input = el("input", { type: "radio", name: "rows", value: id, checked: id === this.filter });
        input.addEventListener("change", () => choose(id));
        return el("label", {}, input, el("span", {}, `${title} ${count(this.items.filter(fits).length)}`));
      }),
    );
  }

  table(some) {
    const head = ["Line", "Text", this.expects && "Expected", "Predicted", "Probability"].filter(Boolean);
    return el(
      "table",
      { class: "rows" },
      el("caption", { class: "unseen" }, "Rows of the file and what the model says of them"),
      el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, some.map((item) => this.line(item))),
    );
  }

  line({ row, text, expected, result, right, fault }) {
    const tag = (label, off) => [el("bdi", { class: off ? "tag off" : "tag" }, label), " "];
    const labels = (set, others) =>
      set.length ? set.map((label) => tag(label, others && !others.includes(label))) : el("span", { class: "muted" }, "none");
    const long = text?.length > SHOWN_CHARACTERS;
    return el(
      "tr",
      { class: right === false ? "wrong" : undefined },
      el("td", { class: "n muted" }, count(row.line)),
      el("td", { class: "text", dir: "auto" }, text === undefined ? "–" : long ? `${text.slice(0, SHOWN_CHARACTERS)}…` : text),
      this.expects && el("td", { data: { name: "Expected" } }, expected ? labels(expected) : "–"),
      fault
        ? el("td", { class: "bad", colSpan: 2 }, fault)
        : [
            el("td", { data: { name: "Predicted" } }, labels(result.labels, right === false ? expected : null), right === false && el("span", { class: "unseen" }, " (wrong)")),
            el("td", { class: "n" }, percent(result.probability)),
          ],
    );
  }

  saving(kind) {
    const button = el("button", { type: "button", class: "quiet" }, `Download ${kind}`);
    button.addEventListener("click", () => {
      const { card, columns, name } = this.context;
      const about = { task: card.task, labels: card.labels, expects: this.expects };
      const lines = kind === "CSV" ? toCsv(this.items, columns, about) : toJsonl(this.items, about);
      const type = kind === "CSV" ? "text/csv" : "application/jsonl";
      save(new Blob(lines, { type: `${type};charset=utf-8` }), `${name.replace(/\.\w+$/, "")}.classified.${kind.toLowerCase()}`);
    });
    return button;
  }
}
