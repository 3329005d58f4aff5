// Starts the page, and keeps its head in step with the server.

import { call, readiness } from "./api.js";
import { byId, save } from "./dom.js";
import { openFile, setUpFile } from "./file.js";
import { plural } from "./format.js";
import { keys, setUpKeys } from "./keys.js";
import { setUpModel } from "./model.js";
import { passes } from "./patience.js";
import { loadCard, onSession, session, update } from "./session.js";
import { setUpTabs } from "./tabs.js";
import { setUpText } from "./text.js";

const LOADING_MS = 1000;
const AWAY_MS = 4000;

setUpKeys();
setUpText();
setUpFile();
setUpModel();
setUpTabs(byId("tabs"), () => {});
setUpHead();
setUpDropping();
watch();

/** Until the model is loaded and its card is here. */
async function watch() {
  for (;;) {
    const found = await readiness();
    if (found?.model) {
      const [name, ...checkpoint] = found.model.split("/");
      update({ name });
      byId("checkpoint").textContent = checkpoint.join("/");
    }
    if (found?.ready && (await showCard())) break;
    const waiting = found && !found.ready;
    const doing = waiting && found.message ? `: ${found.message}` : "";
    state(waiting ? "busy" : "bad", waiting ? `${found.status ?? "Not ready"}${doing}` : "Not reachable");
    await new Promise((resolve) => setTimeout(resolve, waiting ? LOADING_MS : AWAY_MS));
  }
}

/** False where another time may do. */
async function showCard() {
  try {
    await loadCard();
    state("good", "Ready");
  } catch (error) {
    if (passes(error)) return false;
    state(error.status === 401 ? "busy" : "bad", error.status === 401 ? "API key needed" : error.message);
  }
  return true;
}

function state(kind, text) {
  byId("state").dataset.kind = kind;
  byId("state-text").textContent = text;
}

function setUpHead() {
  const button = byId("key-button");
  const renderKey = () => (button.textContent = keys.current === null ? "API key" : "API key set");
  button.addEventListener("click", () => keys.ask("Requests of this page carry the key in the header X-API-Key."));
  byId("docs").addEventListener("click", openDocs);
  keys.onChange(() => {
    renderKey();
    if (keys.current !== null && session.card === null) showCard();
  });
  renderKey();
  onSession(() => {
    const { name, card } = session;
    if (name === null) return;
    byId("name").textContent = name;
    document.title = name;
    if (card === null) return;
    byId("checkpoint").textContent = card.checkpoint ?? "";
    byId("summary").textContent = [card.task, plural(card.labels.length, "label"), `up to ${plural(card.maxLength, "token")}`].join(" · ");
  });
}

/** A page that is opened by a link brings no key: where one is needed, the document comes as a file. */
async function openDocs(event) {
  if (!keys.needed) return;
  event.preventDefault();
  try {
    const { body } = await call("openapi.json");
    save(new Blob([JSON.stringify(body, null, 2)], { type: "application/json" }), "openapi.json");
  } catch (error) {
    state("bad", error.message);
  }
}

/** A file may be dropped anywhere. */
function setUpDropping() {
  let depth = 0;
  const mark = (change) => {
    depth = Math.max(0, depth + change);
    document.body.classList.toggle("dropping", depth > 0);
  };
  const withFile = (handler) => (event) => {
    if (event.dataTransfer?.types.includes("Files")) handler(event);
  };
  addEventListener("dragenter", withFile(() => mark(1)));
  addEventListener("dragleave", withFile(() => mark(-1)));
  addEventListener("dragover", withFile((event) => event.preventDefault()));
  addEventListener(
    "drop",
    withFile((event) => {
      event.preventDefault();
      mark(-depth);
      const [file] = event.dataTransfer.files;
      if (file) openFile(file);
    }),
  );
}
