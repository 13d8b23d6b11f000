/* data-open-when="solved=partly solved=unsolved": this part is there only while one of these answers is chosen in its form,
   or something in it was refused. Without a script it always is. What is folded away keeps its values. */
"use strict";
(() => {
  const chosen = (form, name) => form.querySelector(`[name="${CSS.escape(name)}"]:checked, select[name="${CSS.escape(name)}"]`)?.value;
  const fold = (part) => {
    const form = part.closest("form");
    const wanted = part.dataset.openWhen.split(" ").some((pair) => {
      const [name, value] = pair.split("=");
      return chosen(form, name) === value;
    });
    part.hidden = !wanted && !part.querySelector(".field-error");
  };
  hotline.onEveryPart((root) => hotline.all(root, "[data-open-when]").forEach(fold));
  document.addEventListener("change", (event) => {
    event.target.form?.querySelectorAll("[data-open-when]").forEach(fold);
  });
})();
