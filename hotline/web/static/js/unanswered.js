/* What was written in the long fields of a plain form outlives a house that goes away between the question of held.js and the sending: it is kept in
   this tab (sessionStorage) from the sending until the next page of ours, which is the answer, and no longer. Where no answer came, whoever goes back to
   the form, signed in under the same name, finds his words in it. Short fields (name, telephone, address) are never kept; drafts keep their own fields. */
"use strict";
(() => {
  const KEY = "unanswered";
  const MINUTES_MS = 30 * 60 * 1000;
  const here = () => `${hotline.meta("signed-in")}|${location.pathname}`;
  const store = (words) => {
    try {
      if (words) sessionStorage.setItem(KEY, words);
      else sessionStorage.removeItem(KEY);
    } catch {
      // A full or forbidden store: the form is sent as before.
    }
  };
  const taken = () => {
    try {
      const found = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
      store("");
      return found;
    } catch {
      return null;
    }
  };

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const leaves = form.getAttribute("method") === "post" && !form.hasAttribute("hx-post") && form.dataset.once !== "download";
    if (event.defaultPrevented || !leaves) return;
    const written = [...form.querySelectorAll("textarea[name]:not([data-draft-keep])")].filter((field) => field.value.trim());
    const fields = written.map((field) => [field.name, field.value]);
    const kept = { at: Date.now(), from: here(), action: form.getAttribute("action"), fields };
    store(fields.length && form.dataset.signOut === undefined ? JSON.stringify(kept) : "");
  });

  const giveBack = ({ action, fields }) => {
    const forms = [...document.querySelectorAll('form[method="post"]')].filter((form) => form.getAttribute("action") === action);
    for (const form of forms) {
      const found = fields.map(([name, words]) => [form.querySelector(`textarea[name="${CSS.escape(name)}"]`), words]);
      const empty = found.filter(([field]) => field && !field.value);
      if (!empty.length) continue;
      for (const [field, words] of empty) {
        field.value = words;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
      const note = document.createElement("div");
      note.className = "notice notice-warning";
      note.dataset.unanswered = "";
      note.setAttribute("role", "alert");
      const text = document.createElement("p");
      text.textContent = "上次提交没有等到答复，写下的文字已放回。请先查询是否已经提交，再决定要不要重新提交；其余各栏请重新填写。";
      note.append(text);
      form.prepend(note);
      note.scrollIntoView({ block: "nearest" });
      return;
    }
  };

  document.addEventListener("DOMContentLoaded", () => {
    const kept = taken();
    if (kept && kept.from === here() && Date.now() - kept.at < MINUTES_MS) giveBack(kept);
  });
  // Shown again as it was left: everything stands in it.
  window.addEventListener("pageshow", (event) => event.persisted && store(""));
})();
