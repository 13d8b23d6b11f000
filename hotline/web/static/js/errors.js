/* A refused form: the summary takes the focus, its links lead into the fields. */
"use strict";
hotline.onEveryPart((root) => {
  hotline.all(root, "[data-error-summary]")[0]?.focus();
});
document.addEventListener("click", (event) => {
  const link = event.target.closest?.("[data-error-summary] a[href^='#']");
  const field = link && document.getElementById(link.hash.slice(1));
  if (!field) return;
  event.preventDefault();
  field.focus({ preventScroll: true });
  field.closest(".field")?.scrollIntoView({ block: "center" });
});
