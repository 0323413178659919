// The filters of the gallery and the ledger, and the ledger's sorting. Without this script both pages show everything.
(function () {
  "use strict";

  // Opened from a folder, a page may not read its neighbours: the search then lists titles without excerpts.
  if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

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

  function filterLedger(form) {
    const wanted = ["verdict", "scale", "whose", "part"].map((name) => [name, value(form, name)]);
    const words = value(form, "words").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let waiting = 0;
    document.querySelectorAll("table.ck-ledger tbody tr").forEach((row) => {
      const text = words.length ? row.textContent.toLowerCase() : "";
      row.hidden = !(wanted.every(([name, want]) => !want || row.dataset[name] === want) && words.every((word) => text.includes(word)));
      shown += !row.hidden;
      waiting += !row.hidden && row.closest("#not-run") !== null;
    });
    // What was not run is folded away until a filter finds it.
    const fold = document.getElementById("not-run");
    if (fold) fold.open = waiting > 0 && (words.length > 0 || wanted.some(([, want]) => want));
    form.querySelector("output").textContent = `${shown} rows shown` + (waiting && fold && !fold.open ? `, ${waiting} of them folded below` : "");
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

  function sortable(table) {
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
        const body = table.tBodies[0];
        body.append(...[...body.rows].sort(order));
      });
    });
  }

  document.addEventListener("DOMContentLoaded", () => {
    const asked = new URLSearchParams(window.location.search);
    document.querySelectorAll("form[data-ck-filter]").forEach((form) => {
      const apply = () => (form.dataset.ckFilter === "gallery" ? filterGallery : filterLedger)(form);
      for (const [name, wish] of asked) if (form.elements[name]) form.elements[name].value = wish;
      form.addEventListener("input", apply);
      form.addEventListener("submit", (event) => event.preventDefault());
      form.hidden = false;
      apply();
    });
    document.querySelectorAll("table.ck-ledger").forEach(sortable);
    document.querySelectorAll("table.ck-ledger tbody tr").forEach(brief);
    const linked = document.getElementById(window.location.hash.slice(1));
    if (linked && linked.closest(".ck-waiting")) {
      linked.closest(".ck-waiting").open = true;
      linked.scrollIntoView();
    }
  });
})();
