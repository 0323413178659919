// The filters of the gallery and the ledger, the ledger's rows, and what paper needs. Without this script both pages show everything.
(function () {
  "use strict";

  // Opened from a folder, a page may not read its neighbours: the search then lists titles without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

  const PAPER = 640; // pixels of a line on A4

  const value = (form, name) => (form.elements[name] ? form.elements[name].value : "");

  function filterGallery(form) {
    const part = value(form, "part");
    const state = value(form, "state");
    let shown = 0;
    document.querySelectorAll(".ck-gallery").forEach((gallery) => {
      let here = 0;
      gallery.querySelectorAll(".ck-tile").forEach((tile) => {
        const fits = (!part || gallery.dataset.part === part) && (!state || tile.dataset.state.split(" ").includes(state));
        tile.hidden = !fits;
        here += fits;
      });
      gallery.closest("section").hidden = here === 0;
      shown += here;
    });
    form.querySelector("output").textContent = `${shown} shown`;
  }

  // The ledger: all rows are kept beside the page, and of those that fit at most `SHOWN` a table are put into it, then more at a click.
  const SHOWN = 40;
  const tables = [];

  function unpack(source) {
    const table = new DOMParser().parseFromString(source.textContent, "text/html").querySelector("table");
    const rows = [...table.tBodies[0].rows];
    const more = document.createElement("button");
    more.type = "button";
    more.className = "ck-more-rows";
    const kept = { table, rows, more, shown: SHOWN };
    more.addEventListener("click", () => show(kept, kept.shown + SHOWN));
    rows.forEach(brief);
    table.tBodies[0].replaceChildren();
    source.replaceWith(document.adoptNode(table), more);
    sortable(kept);
    tables.push(kept);
  }

  function show(kept, most) {
    const fitting = kept.rows.filter((row) => !row.hidden);
    kept.shown = most;
    kept.table.tBodies[0].replaceChildren(...fitting.slice(0, most));
    kept.more.hidden = fitting.length <= most;
    kept.more.textContent = `${Math.min(SHOWN, fitting.length - most)} more of ${fitting.length - most}`;
  }

  function filterLedger(form) {
    const wanted = ["verdict", "scale", "whose", "part"].map((name) => [name, value(form, name)]);
    const words = value(form, "words").toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    let waiting = 0;
    for (const kept of tables) {
      for (const row of kept.rows) {
        const text = words.length ? row.textContent.toLowerCase() : "";
        row.hidden = !(wanted.every(([name, want]) => !want || row.dataset[name] === want) && words.every((word) => text.includes(word)));
        found += !row.hidden;
        waiting += !row.hidden && kept.table.closest("#not-run") !== null;
      }
      show(kept, SHOWN);
    }
    // What was not run is folded away until a filter finds it.
    const fold = document.getElementById("not-run");
    if (fold) fold.open = waiting > 0 && (words.length > 0 || wanted.some(([, want]) => want));
    form.querySelector("output").textContent = `${found} rows` + (waiting && fold && !fold.open ? `, ${waiting} of them folded below` : "");
  }

  // On a phone a row begins brief; its button, shown there only, opens the rest.
  function brief(row) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "ck-whole";
    const set = (short) => {
      row.classList.toggle("ck-brief", short);
      button.textContent = short ? "more" : "less";
      button.setAttribute("aria-expanded", String(!short));
    };
    button.addEventListener("click", () => set(!row.classList.contains("ck-brief")));
    set(window.location.hash !== "#" + row.id);
    (row.querySelector(".ck-found strong") ? row.querySelector(".ck-found") : row.querySelector(".ck-outcome")).append(" ", button);
  }

  function sortable(kept) {
    const table = kept.table;
    table.querySelectorAll("thead th").forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const rising = head.getAttribute("aria-sort") !== "ascending";
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const key = (row) => row.cells[column].dataset.key;
        const compare = new Intl.Collator(undefined, { numeric: true }).compare;
        const numbers = ["outcome", "effect in δ"].includes(button.textContent);
        const order = (a, b) => {
          const [x, y] = [key(a), key(b)];
          if (!x || !y) return !x - !y; // rows without a value stay last, whichever way
          return (rising ? 1 : -1) * (numbers ? x - y : compare(x, y));
        };
        kept.rows.sort(order);
        show(kept, kept.shown);
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const asked = new URLSearchParams(window.location.search);
    document.querySelectorAll("noscript.ck-rows").forEach(unpack);
    const linked = tables.flatMap((kept) => kept.rows).find((row) => "#" + row.id === window.location.hash);
    if (linked) asked.append("words", linked.querySelector("td").dataset.key.split(" ")[0]); // with the other claims of its page
    document.querySelectorAll("form[data-ck-filter]").forEach((form) => {
      const apply = () => (form.dataset.ckFilter === "gallery" ? filterGallery : filterLedger)(form);
      for (const [name, wish] of asked) if (form.elements[name]) form.elements[name].value = wish;
      form.addEventListener("input", apply);
      form.addEventListener("submit", (event) => event.preventDefault());
      form.hidden = false;
      apply();
    });
    if (linked) {
      const kept = tables.find(({ rows }) => rows.includes(linked));
      show(kept, kept.rows.length);
      location.replace(location.hash); // it was not in the page when the browser looked for it
    }
  });

  // Paper has no scroll bar: all rows of the ledger, and equations set as small as an A4 page asks for.
  window.addEventListener("beforeprint", () => {
    tables.forEach((kept) => show(kept, kept.rows.length));
    document.querySelectorAll('mjx-container[display="true"]').forEach((equation) => {
      const width = Math.max(...[...equation.children].map((part) => part.scrollWidth));
      if (width > PAPER) equation.style.fontSize = `${(100 * PAPER) / width}%`;
    });
  });
})();
