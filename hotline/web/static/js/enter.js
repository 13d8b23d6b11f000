/* data-enter="next" on a form: Enter in a one-line field goes to the next field instead of sending a half-filled form. */
"use strict";
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.defaultPrevented || event.isComposing || event.keyCode === 229) return;
  if (event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
  const here = event.target;
  const form = here.form;
  if (form?.dataset.enter !== "next" || !here.matches("input:not([type=submit], [type=button]), select")) return;
  event.preventDefault();
  const fields = [...form.elements].filter((one) => one.matches("input, select, textarea, button[type=submit]") && one.getClientRects().length > 0 && !one.disabled);
  fields[fields.indexOf(here) + 1]?.focus();
});
