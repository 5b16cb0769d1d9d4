// A box above every long table that keeps the rows holding all the words typed. Without scripts the table is simply whole.
document.addEventListener("DOMContentLoaded", () => {
  for (const area of document.querySelectorAll(".filterable")) {
    const rows = [...area.querySelectorAll("tbody tr")];
    const box = document.createElement("input");
    const count = document.createElement("span");
    const bar = document.createElement("p");
    box.type = "search";
    box.placeholder = area.dataset.hint || "Filter";
    box.setAttribute("aria-label", "Filter the table");
    count.setAttribute("role", "status");
    bar.className = "filter";
    bar.append(box, count);
    area.prepend(bar);
    const update = () => {
      const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += row.hidden ? 0 : 1;
      }
      count.textContent = `${shown} of ${rows.length}`;
    };
    box.addEventListener("input", update);
    update();
  }
});
