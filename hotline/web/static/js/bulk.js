/* data-bulk="form-id" on a table: choose rows, one, a range with Shift, or all; the bar [data-bulk-bar] of that form says how many. */
"use strict";
(() => {
  let last = null;
  const boxes = (table) => [...table.querySelectorAll("[data-bulk-one]")];

  const count = (table) => {
    const every = boxes(table);
    const chosen = every.filter((box) => box.checked);
    every.forEach((box) => box.closest("tr").classList.toggle("row-chosen", box.checked));
    const head = table.querySelector("[data-bulk-all]");
    if (head) {
      head.checked = chosen.length > 0 && chosen.length === every.length;
      head.indeterminate = chosen.length > 0 && chosen.length < every.length;
    }
    const bar = document.getElementById(table.dataset.bulk);
    if (!bar) return;
    bar.hidden = chosen.length === 0;
    const words = bar.querySelector("[data-bulk-count]");
    if (words) words.textContent = String(chosen.length);
  };

  document.addEventListener("click", (event) => {
    const table = event.target.closest?.("table[data-bulk]");
    const box = event.target.closest?.("[data-bulk-one]");
    if (box && table) {
      const every = boxes(table);
      if (event.shiftKey && last && every.includes(last)) {
        const [from, to] = [every.indexOf(last), every.indexOf(box)].sort((a, b) => a - b);
        every.slice(from, to + 1).forEach((one) => (one.checked = box.checked));
      }
      last = box;
      count(table);
    } else if (event.target.closest?.("[data-bulk-all]") && table) {
      boxes(table).forEach((one) => (one.checked = event.target.checked));
      count(table);
    } else if (event.target.closest?.("[data-bulk-none]")) {
      const bar = event.target.closest("[data-bulk-bar]");
      for (const one of document.querySelectorAll(`table[data-bulk="${CSS.escape(bar.id)}"]`)) {
        boxes(one).forEach((own) => (own.checked = false));
        count(one);
      }
    }
  });
  hotline.onEveryPart(() => document.querySelectorAll("table[data-bulk]").forEach(count));
})();
