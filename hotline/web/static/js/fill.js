/* data-fill="id" on a select whose options carry data-words: choosing writes the option's words into that field,
   unless somebody has written words of his own there. */
"use strict";
document.addEventListener("change", (event) => {
  const select = event.target;
  if (!select.matches?.("select[data-fill]")) return;
  const field = document.getElementById(select.dataset.fill);
  if (!field) return;
  const ready = [...select.options].map((option) => option.dataset.words ?? "");
  if (field.value.trim() && !ready.includes(field.value)) return;
  field.value = select.selectedOptions[0]?.dataset.words ?? "";
  field.dispatchEvent(new Event("input", { bubbles: true }));
});
