/* A form that could not be sent stays as it was typed, and a word beside its button says why: no network, no answer in time, the sign-in over.
   A plain form is stopped before the browser leaves the page; htmx leaves the page alone anyway. Questions that a field asks by itself are not forms. */
"use strict";
(() => {
  const OFFLINE = "网络不通，没有提交。填写的内容都在，网络恢复后请再提交一次。";
  const BACK = "网络已恢复，请再提交一次。";
  const UNSURE = "没有等到答复。填写的内容都在；请先查询是否已经提交，再决定要不要重新提交。";
  const REFUSED = {
    401: "登录已过期，没有提交。填写的内容都在，请先复制要保留的文字，再重新登录。",
    403: "您没有权限进行此操作，没有提交。填写的内容都在。",
  };

  const noteOf = (form) => form.querySelector("[data-held]");
  const clear = (form) => noteOf(form)?.remove();
  const hold = (form, words, { offline = false } = {}) => {
    clear(form);
    const note = document.createElement("div");
    note.className = "notice notice-danger";
    note.dataset.held = offline ? "offline" : "";
    note.setAttribute("role", "alert");
    const text = document.createElement("p");
    text.textContent = words;
    note.append(text);
    const actions = form.querySelector(".form-actions");
    if (actions) actions.before(note);
    else form.append(note);
    note.scrollIntoView({ block: "nearest" });
  };

  // On the window, so that it comes before once.js shuts the button and draft.js takes the form for sent.
  window.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form.getAttribute("method") !== "post") return;
      if (navigator.onLine) {
        clear(form);
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      hold(form, OFFLINE, { offline: true });
    },
    true,
  );
  window.addEventListener("online", () => {
    for (const note of document.querySelectorAll('[data-held="offline"]')) {
      note.className = "notice notice-success";
      note.firstElementChild.textContent = BACK;
    }
  });

  const sent = (event) => (event.detail.elt?.matches?.("form") ? event.detail.elt : null);
  document.addEventListener("htmx:sendError", (event) => {
    // The line may have broken after the house had taken it.
    if (sent(event)) hold(sent(event), navigator.onLine ? UNSURE : OFFLINE, { offline: !navigator.onLine });
  });
  document.addEventListener("htmx:timeout", (event) => {
    if (sent(event)) hold(sent(event), UNSURE);
  });
  document.addEventListener("htmx:responseError", (event) => {
    const words = REFUSED[event.detail.xhr.status];
    if (sent(event) && words) hold(sent(event), words);
  });
})();
