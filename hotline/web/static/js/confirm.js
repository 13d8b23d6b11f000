/* data-confirm="question" on a button, a form or a link: asks before it acts. A button that would have the question asked on a page of its own (name
   "unasked", hotline/web/asking.py) does not send it once it was answered here. */
"use strict";
(() => {
  const agreed = new WeakSet();

  const ask = (question, danger) =>
    new Promise((answer) => {
      const dialog = document.createElement("dialog");
      dialog.className = "dialog dialog-ask";
      dialog.setAttribute("role", "alertdialog");
      dialog.setAttribute("aria-labelledby", "ask-words");
      const body = document.createElement("div");
      body.className = "dialog-body";
      const words = document.createElement("p");
      words.id = "ask-words";
      words.textContent = question;
      const row = document.createElement("div");
      row.className = "form-actions";
      const button = (label, css, value) => {
        const element = document.createElement("button");
        element.type = "button";
        element.className = css;
        element.textContent = label;
        element.addEventListener("click", () => dialog.close(value));
        return element;
      };
      const yes = button("确定", danger ? "btn btn-danger" : "btn btn-primary", "yes");
      row.append(yes, button("取消", "btn", ""));
      body.append(words, row);
      dialog.append(body);
      dialog.addEventListener("close", () => {
        dialog.remove();
        answer(dialog.returnValue === "yes");
      });
      document.body.append(dialog);
      dialog.showModal();
      yes.focus();
    });

  // Captured before htmx and before data-once: an act that was not agreed to has not happened.
  document.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      const button = event.submitter;
      const question = button?.dataset.confirm ?? form.dataset.confirm;
      if (!question) return;
      if (agreed.delete(form)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      ask(question, button?.classList.contains("btn-outline-danger") ?? false).then((yes) => {
        if (!yes) return button?.focus();
        agreed.add(form);
        if (button?.name === "unasked") button.removeAttribute("name");
        form.requestSubmit(button ?? undefined);
      });
    },
    true,
  );

  document.addEventListener(
    "click",
    (event) => {
      const link = event.target.closest?.("a[data-confirm]");
      if (!link) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      ask(link.dataset.confirm, false).then((yes) => {
        if (yes) window.location.assign(link.href);
      });
    },
    true,
  );
})();
