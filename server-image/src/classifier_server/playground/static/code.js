// The panel that shows the call as code.

import { address } from "./api.js";
import { byId, el } from "./dom.js";
import { keys } from "./keys.js";
import { onSession, session } from "./session.js";
import { DIALECTS, LANGUAGES, snippet } from "./snippets.js";

const EXAMPLE = "Grain shipments rose by 4 percent in March.";

export function setUpCode(textOf) {
  const dialect = byId("code-dialect");
  dialect.append(...Object.entries(DIALECTS).map(([id, { title }]) => el("option", { value: id }, title)));
  byId("code-language").append(
    ...Object.entries(LANGUAGES).map(([id, title], place) =>
      el("label", {}, el("input", { type: "radio", name: "language", value: id, checked: place === 0 }), el("span", {}, title)),
    ),
  );

  function render() {
    const language = document.querySelector('input[name="language"]:checked').value;
    byId("code-text").textContent = snippet(dialect.value, language, {
      base: address("."),
      text: textOf() || EXAMPLE,
      model: session.name ?? "model",
      keyed: keys.needed,
    });
  }

  for (const chosen of [dialect, byId("code-language")]) chosen.addEventListener("change", render);
  byId("code-copy").addEventListener("click", copy);
  keys.onChange(render);
  onSession(render);
  render();
  return render;
}

async function copy() {
  const button = byId("code-copy");
  const code = byId("code-text");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    // Not over plain http, but for this machine's own; whoever copies has it selected then.
    getSelection().selectAllChildren(code);
    button.textContent = "Press Ctrl C";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
}
