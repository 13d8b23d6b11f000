/* data-dialog="id" opens, data-close closes, a click beside the dialog closes it when nothing was typed in it. */
"use strict";
document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-dialog]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog && !dialog.open) {
      dialog.showModal();
      dialog.querySelector("[autofocus], .dialog-body input:not([type=hidden]), .dialog-body select, .dialog-body textarea")?.focus();
    }
    return;
  }
  const closer = event.target.closest?.("[data-close]");
  if (closer) {
    closer.closest("dialog")?.close();
    return;
  }
  if (event.target.matches?.("dialog[open]") && !event.target.querySelector("form")) event.target.close();
});
// A refused form inside a dialog must be seen again.
hotline.onEveryPart((root) => {
  const summary = hotline.all(root, "[data-error-summary]")[0];
  const dialog = summary?.closest("dialog");
  if (!dialog || dialog.open) return;
  dialog.showModal();
  summary.focus(); // Opening has put the focus on the first button, which closes.
});
