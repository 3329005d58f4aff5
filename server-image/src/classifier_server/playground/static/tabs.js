// Tabs that are links to a part of the page, so that each has an address and the Back button works.

export function setUpTabs(root, opened) {
  const tabs = [...root.querySelectorAll('[role="tab"]')];
  const panel = (tab) => document.getElementById(tab.getAttribute("aria-controls"));

  function open(tab) {
    for (const each of tabs) {
      each.setAttribute("aria-selected", String(each === tab));
      each.tabIndex = each === tab ? 0 : -1;
      panel(each).hidden = each !== tab;
    }
    opened(tab.hash.slice(1));
  }

  function openAddress() {
    open(tabs.find((tab) => tab.hash === location.hash) ?? tabs[0]);
  }

  root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = tabs.indexOf(document.activeElement);
    const next = step ? tabs.at((at + step) % tabs.length) : { Home: tabs[0], End: tabs.at(-1) }[event.key];
    if (at === -1 || next === undefined) return;
    event.preventDefault();
    next.focus();
    location.hash = next.hash;
  });
  root.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (!tab) return;
    // The browser would scroll to the panel.
    event.preventDefault();
    location.hash = tab.hash;
  });
  addEventListener("hashchange", openAddress);
  openAddress();
}
