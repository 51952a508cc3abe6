"use strict";
(() => {
  const table = document.getElementById("failures");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const texts = rows.map((row) => Array.from(row.cells, (cell) => cell.textContent).join(" ").toLowerCase());
  const input = document.getElementById("words");
  const shown = document.getElementById("shown");

  // Every word must occur, in whatever column.
  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    rows.forEach((row, index) => {
      const found = words.every((word) => texts[index].includes(word));
      row.hidden = !found;
      if (found) count += 1;
    });
    shown.textContent = words.length ? `${count} of ${rows.length}` : "";
  };
  let due = 0;
  input.addEventListener("input", () => {
    clearTimeout(due);
    due = setTimeout(search, 80);
  });

  const NUMBERS = new Set([0, 6]);
  const headings = Array.from(table.tHead.rows[0].cells);
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
      const keys = new Map(rows.map((row) => {
        const text = row.cells[column].textContent;
        return [row, NUMBERS.has(column) ? Number(text) : text];
      }));
      const ordered = Array.from(rows).sort((one, other) => {
        const [a, b] = [keys.get(one), keys.get(other)];
        return a < b ? -sign : a > b ? sign : 0;
      });
      body.append(...ordered);
    });
  });

  // A search can be sent to somebody: report.html#conflict
  input.value = location.hash.slice(1);
  try {
    input.value = decodeURIComponent(input.value);
  } catch {
    // A % that stands for itself, as in #100%: what was typed is meant.
  }
  document.getElementById("search").hidden = false;
  search();
})();
