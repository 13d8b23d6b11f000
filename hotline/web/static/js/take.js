/* data-take="field=value&…" on a button: puts these values into the button's form (form="id") and goes back to the field that one was in. */
"use strict";
(() => {
  let last = null;

  const wanted = (button) => [...new URLSearchParams(button.dataset.take)];
  const valueOf = (form, name) => form.elements.namedItem(name)?.value ?? "";
  const mark = (form) => {
    for (const button of document.querySelectorAll("[data-take]")) {
      if (button.form !== form) continue;
      button.setAttribute("aria-pressed", String(wanted(button).every(([name, value]) => valueOf(form, name) === value)));
    }
  };
  const put = (form, name, value) => {
    const control = form.elements.namedItem(name);
    if (!control || control.value === value) return;
    control.value = value;
    const source = control instanceof RadioNodeList ? [...control].find((one) => one.value === value) : control;
    source?.dispatchEvent(new Event("change", { bubbles: true }));
  };

  document.addEventListener("focusin", (event) => {
    if (event.target.form && !event.target.matches("[data-take]")) last = event.target;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-take]");
    const form = button?.form;
    if (!form) return;
    for (const [name, value] of wanted(button)) put(form, name, value);
    mark(form);
    if (last?.isConnected && last.form === form) last.focus();
  });
  document.addEventListener("change", (event) => event.target.form && mark(event.target.form));
  hotline.onEveryPart((root) => new Set(hotline.all(root, "[data-take]").map((button) => button.form)).forEach((form) => form && mark(form)));
})();
