/* data-draft="answer-7" on a form: its fields marked data-draft-keep outlive a reload, in this browser, under the signed-in name, for eight hours.
   Desks are shared: only words of our own staff that name nobody may be marked (docs/look.md). Signing out wipes every draft. */
"use strict";
(() => {
  const PREFIX = "draft:";
  const HOURS_MS = 8 * 60 * 60 * 1000;
  const nameOf = (form) => `${PREFIX}${hotline.meta("signed-in")}:${form.dataset.draft}`;
  const read = (name) => {
    try {
      return JSON.parse(localStorage.getItem(name) ?? "null");
    } catch {
      return null;
    }
  };
  const write = (name, draft) => {
    try {
      localStorage.setItem(name, JSON.stringify(draft));
    } catch {
      // A full or forbidden store: the page works as before, only without drafts.
    }
  };
  const drafts = () => Object.keys(localStorage).filter((name) => name.startsWith(PREFIX));
  const kept = (form) => [...form.querySelectorAll("[data-draft-keep]")].filter((field) => field.name);

  const save = (form) => {
    const fields = Object.fromEntries(kept(form).map((field) => [field.name, field.value]));
    if (Object.values(fields).some(Boolean)) write(nameOf(form), { at: Date.now(), fields });
    else localStorage.removeItem(nameOf(form));
  };

  // A form that was sent and is not here any more, or is here with good news and no complaint, went through.
  const forget = () => {
    const refused = document.querySelector("[data-error-summary]");
    const goodNews = document.querySelector('[data-flash="success"]');
    const here = new Set([...document.querySelectorAll("form[data-draft]")].map(nameOf));
    for (const name of drafts()) {
      const draft = read(name);
      const old = !draft || Date.now() - draft.at > HOURS_MS;
      const through = draft?.sent && !refused && (!here.has(name) || goodNews) && !document.querySelector(".error-page");
      if (old || through) localStorage.removeItem(name);
    }
  };

  const restore = (form) => {
    const draft = read(nameOf(form));
    if (!draft) return;
    const found = kept(form).filter((field) => !field.value && draft.fields[field.name]);
    if (!found.length) return;
    for (const field of found) {
      field.value = draft.fields[field.name];
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    const note = document.createElement("p");
    note.className = "draft-note";
    note.setAttribute("role", "status");
    note.textContent = "已恢复上次未提交的文字";
    const drop = document.createElement("button");
    drop.type = "button";
    drop.className = "btn btn-link btn-sm";
    drop.textContent = "清除";
    drop.addEventListener("click", () => {
      for (const field of found) {
        field.value = "";
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
      note.remove();
      found[0].focus();
    });
    note.append(drop);
    form.prepend(note);
  };

  let timer = 0;
  document.addEventListener("input", (event) => {
    const form = event.target.matches?.("[data-draft-keep]") && event.target.closest("form[data-draft]");
    if (!form) return;
    clearTimeout(timer);
    timer = setTimeout(() => save(form), 400);
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.signOut !== undefined) drafts().forEach((name) => localStorage.removeItem(name));
    if (!form.dataset.draft) return;
    clearTimeout(timer);
    save(form);
    const draft = read(nameOf(form));
    if (draft) write(nameOf(form), { ...draft, sent: true });
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const form = event.target.closest?.("form[data-draft]");
    if (form && event.detail.successful) localStorage.removeItem(nameOf(form));
  });
  document.addEventListener("DOMContentLoaded", forget);
  hotline.onEveryPart((root) => hotline.all(root, "form[data-draft]").forEach(restore));
})();
