/* data-once: a form that was sent is not sent again while the answer is on its way.
   data-once="download": the page stays, so the form opens again after three seconds. */
"use strict";
(() => {
  const setWaiting = (form, waiting) => {
    if (waiting) form.dataset.sent = "";
    else delete form.dataset.sent;
    form.setAttribute("aria-busy", String(waiting));
    for (const button of form.querySelectorAll('button[type="submit"]')) {
      button.setAttribute("aria-disabled", String(waiting)); // Not `disabled`: that would drop the pressed button's value.
    }
  };

  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form.dataset.once === undefined) return;
      if (form.dataset.sent !== undefined) {
        event.preventDefault();
        event.stopImmediatePropagation();
        return;
      }
      setWaiting(form, true);
      if (form.dataset.once === "download") setTimeout(() => setWaiting(form, false), 3000);
    },
    true,
  );
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.target.closest?.("form[data-once]");
    if (form) setWaiting(form, false);
  });
  // Back from the next page: the browser shows the page as it was left.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) document.querySelectorAll("form[data-sent]").forEach((form) => setWaiting(form, false));
  });
})();
