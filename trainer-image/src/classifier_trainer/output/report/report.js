"use strict";
// Only comfort: without it the page shows everything, one part below the other.
(() => {
  const root = document.documentElement;
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];

  function tabs() {
    const links = all("nav a"), panels = all(".panel");
    root.classList.add("js");
    document.querySelector("nav .inside").setAttribute("role", "tablist");
    links.forEach((link, place) => {
      link.setAttribute("role", "tab");
      link.id = `tab-${panels[place].id}`;
      link.setAttribute("aria-controls", panels[place].id);
      panels[place].setAttribute("role", "tabpanel");
      panels[place].setAttribute("aria-labelledby", link.id);
      link.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (!step) return;
        event.preventDefault();
        const next = links[(place + step + links.length) % links.length];
        next.focus();
        next.click();
      });
      link.addEventListener("click", (event) => {
        event.preventDefault();
        show(panels[place].id);
        history.replaceState(null, "", `#${panels[place].id}`);
      });
    });
    function show(id) {
      const chosen = panels.some((panel) => panel.id === id) ? id : panels[0].id;
      panels.forEach((panel, place) => {
        const on = panel.id === chosen;
        panel.hidden = !on;
        links[place].setAttribute("aria-selected", String(on));
        links[place].tabIndex = on ? 0 : -1;
        if (on) links[place].scrollIntoView({ block: "nearest", inline: "nearest" });
      });
      const top = document.querySelector("header").offsetHeight;
      if (window.scrollY > top) window.scrollTo(0, top);
    }
    window.addEventListener("hashchange", () => show(location.hash.slice(1)));
    show(location.hash.slice(1));
  }

  function sorting(table) {
    const body = table.tBodies[0], heads = all("thead th", table);
    if (body.rows.length < 2) return;
    const key = (row, column) => {
      const cell = row.cells[column];
      return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
    };
    const compare = (a, b) => {
      if (typeof a === typeof b) return typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
      return typeof a === "number" ? 1 : -1; // what is unknown comes before all numbers
    };
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const first = head.classList.contains("n") ? "descending" : "ascending";
        const other = first === "ascending" ? "descending" : "ascending";
        const way = head.getAttribute("aria-sort") === first ? other : first;
        heads.forEach((item) => item.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", way);
        const sign = way === "ascending" ? 1 : -1;
        body.append(...[...body.rows].sort((a, b) => sign * compare(key(a, column), key(b, column))));
      });
    });
  }

  function searching(box) {
    const table = box.querySelector("table"), field = document.createElement("input");
    field.type = "search";
    field.placeholder = "Find a row";
    field.setAttribute("aria-label", `Find a row of ${table.caption.firstChild.textContent.trim()}`);
    field.addEventListener("input", () => {
      const wanted = field.value.trim().toLowerCase();
      for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    table.caption.append(field);
  }

  function hovering(svg) {
    const points = JSON.parse(svg.dataset.hover), tip = document.getElementById("tip");
    const dot = document.createElementNS(svg.namespaceURI, "circle");
    dot.setAttribute("r", "5");
    dot.setAttribute("class", "dot s0");
    dot.setAttribute("visibility", "hidden");
    svg.append(dot);
    svg.addEventListener("pointermove", (event) => {
      const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
      let best = null, least = 60 ** 2;
      for (const point of points) {
        const distance = (point[0] - place.x) ** 2 + (point[1] - place.y) ** 2;
        if (distance < least) [best, least] = [point, distance];
      }
      dot.setAttribute("visibility", best ? "visible" : "hidden");
      tip.hidden = !best;
      if (!best) return;
      dot.setAttribute("cx", best[0]);
      dot.setAttribute("cy", best[1]);
      tip.textContent = best[2];
      const wide = tip.offsetWidth, left = event.clientX + 14;
      tip.style.left = `${Math.max(4, left + wide > innerWidth ? event.clientX - wide - 14 : left)}px`;
      tip.style.top = `${Math.max(4, event.clientY - tip.offsetHeight - 12)}px`;
    });
    svg.addEventListener("pointerleave", () => {
      tip.hidden = true;
      dot.setAttribute("visibility", "hidden");
    });
  }

  function copying(box) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      getSelection().selectAllChildren(box.querySelector("pre"));
      try {
        await navigator.clipboard.writeText(box.querySelector("pre").textContent);
        button.textContent = "Copied";
      } catch {
        button.textContent = "Selected";
      }
    });
    box.append(button);
  }

  tabs();
  all("table[data-sortable]").forEach(sorting);
  all(".table.long").forEach(searching);
  all("svg[data-hover]").forEach(hovering);
  all(".code").forEach(copying);
})();
