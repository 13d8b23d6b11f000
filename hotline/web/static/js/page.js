/* data-print, data-back, data-submit-on-change: three small wishes of a page. */
"use strict";
document.addEventListener("click", (event) => {
  if (event.target.closest?.("[data-print]")) window.print();
  if (event.target.closest?.("[data-back]")) window.history.back();
});
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-submit-on-change]")) event.target.form?.requestSubmit();
});
