/* data-row-keys around a list whose rows carry buttons with data-row-key="1": the keys belong to the row that one stands on,
   so they are given (as data-key) to that row's buttons alone. When htmx has put something else in a row's place, the next row is
   stood on, and what became of the row (data-said) is said aloud. */
"use strict";
(() => {
  const rowsIn = (list) => [...list.querySelectorAll("tr[data-row]")];
  let onward = null;

  const stand = (list, row) => {
    for (const one of rowsIn(list)) {
      one.classList.toggle("row-current", one === row);
      for (const button of one.querySelectorAll("[data-row-key]")) {
        if (one === row) button.dataset.key = button.dataset.rowKey;
        else delete button.dataset.key;
      }
    }
  };
  const focus = (row) => row?.querySelector("td a[href], td button")?.focus({ focusVisible: true });

  document.addEventListener("focusin", (event) => {
    const row = event.target.closest?.("tr[data-row]");
    const list = row?.closest("[data-row-keys]");
    if (list) stand(list, row);
  });
  // A box that its key has turned gives the focus back to the row: Enter in a box would send its form.
  document.addEventListener("click", (event) => {
    if (!event.isTrusted && event.target.matches?.("input[type=checkbox][data-row-key]")) focus(event.target.closest("tr[data-row]"));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches?.("input[type=checkbox][data-row-key]")) event.preventDefault();
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    const row = event.detail.target;
    const list = row?.closest?.("[data-row-keys]");
    if (!list || !row.matches("tr") || !event.detail.shouldSwap) return;
    const rows = rowsIn(list);
    const at = rows.indexOf(row);
    onward = rows[at + 1] ?? rows[at - 1] ?? null;
  });
  hotline.onEveryPart((root) => {
    if (root === document) {
      for (const list of document.querySelectorAll("[data-row-keys]")) stand(list, rowsIn(list)[0]);
      return;
    }
    if (!root.matches?.("[data-row-keys] tr")) return;
    if (root.dataset.said) hotline.say(root.dataset.saidTone, root.dataset.said);
    // A row that is still waiting stays the one in hand: something about it must be read first.
    const next = root.matches("[data-row]") ? root : onward;
    if (next) focus(next);
    else root.querySelector("a[href]")?.focus();
    onward = null;
  });
})();
