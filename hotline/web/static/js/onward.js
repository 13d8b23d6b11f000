/* data-onward="id" on a radio: chosen by its key or the mouse, it leads into the first field of that part.
   Walking through the radios with the arrows leads nowhere: one must be able to look at all of them. */
"use strict";
document.addEventListener("click", (event) => {
  const radio = event.target.closest?.("[data-onward]");
  if (!radio || (event.isTrusted && event.detail === 0)) return;
  const part = document.getElementById(radio.dataset.onward);
  const field = [...(part?.querySelectorAll("input, select, textarea") ?? [])].find((one) => one.getClientRects().length > 0);
  field?.focus();
});
