"use strict";
(() => {
  const root = document.documentElement;
  const remembered = () => { try { return localStorage.getItem("labelwise-theme"); } catch { return null; } };
  const remember = (theme) => { try { localStorage.setItem("labelwise-theme", theme); } catch { /* a file may not store */ } };
  const isDark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  if (remembered()) root.dataset.theme = remembered();

  function themeButton() {
    const button = document.querySelector(".theme");
    const show = () => { button.setAttribute("aria-pressed", String(isDark())); };
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = isDark() ? "light" : "dark";
      remember(root.dataset.theme);
      show();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
  }

  const text = (cell) => cell.textContent.trim();
  const keyOf = (cell) => {
    const key = cell.dataset.key;
    return key === undefined ? text(cell).toLowerCase() : key === "" ? null : Number(key);
  };
  function compare(a, b) {
    if (a === null || b === null) return (a === null) - (b === null);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
        rows.sort(([a], [b]) => (a === null || b === null ? compare(a, b) : up ? compare(a, b) : compare(b, a)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }

  function filter(box) {
    const rows = [...document.getElementById(box.dataset.for).tBodies[0].rows];
    const search = box.querySelector("input");
    const kind = box.querySelector("select");
    const output = box.querySelector("output");
    const apply = () => {
      const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        const fits = (!kind || !kind.value || row.dataset.kind === kind.value) && words.every((word) => content.includes(word));
        row.hidden = !fits;
        shown += fits;
      }
      output.textContent = `${shown} of ${rows.length} rows`;
    };
    box.hidden = false;
    search.addEventListener("input", apply);
    if (kind) kind.addEventListener("change", apply);
    apply();
  }

  function printing() {
    const closed = () => [...document.querySelectorAll("details.paper:not([open])")];
    let opened = [];
    addEventListener("beforeprint", () => { opened = closed(); opened.forEach((part) => { part.open = true; }); });
    addEventListener("afterprint", () => { opened.forEach((part) => { part.open = false; }); });
  }

  document.addEventListener("DOMContentLoaded", () => {
    themeButton();
    document.querySelectorAll("table[data-sortable]").forEach(sortable);
    document.querySelectorAll(".filter").forEach(filter);
    printing();
  });
})();
