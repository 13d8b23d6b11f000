/* A form that could not be sent stays as it was typed, and a word beside its button says why: no network, no answer in time, the sign-in over.
   A plain form is stopped before the browser leaves the page: where words were written, whether the house answers is asked first
   (/health); what is lost between that and the sending is the matter of unanswered.js. htmx leaves the page alone anyway. Questions that a field asks by itself are not forms. */
"use strict";
(() => {
  const OFFLINE = "网络不通，没有提交。填写的内容都在，网络恢复后请再提交一次。";
  const BACK = "网络已恢复，请再提交一次。";
  const AWAY = "系统暂时连接不上，没有提交。填写的内容都在，请稍后再提交一次。";
  const PATIENCE_MS = 4000;
  const UNSURE = "没有等到答复。填写的内容都在；请先查询是否已经提交，再决定要不要重新提交。";
  const REFUSED = {
    400: "页面已过期（可能在别的窗口重新登录过），没有提交。填写的内容都在，请先复制要保留的文字，再刷新页面。",
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

  /* Tells whether the house answers. A slow line is no broken one: whoever waits too long for this is let go as before. */
  const answers = async () => {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
    try {
      const answer = await fetch("/health", { cache: "no-store", credentials: "omit", signal: patience.signal });
      return ![502, 503, 504].includes(answer.status);
    } catch {
      return patience.signal.aborted;
    } finally {
      clearTimeout(timer);
    }
  };
  const written = (form) => [...form.elements].some((field) => field.type === "textarea" && field.value.trim());
  const asking = new WeakSet();
  const asked = new WeakSet();

  // On the window, so that it comes before once.js shuts the button and draft.js takes the form for sent.
  window.addEventListener(
    "submit",
    (event) => {
      const form = event.target;
      if (form.getAttribute("method") !== "post") return;
      const button = event.submitter;
      if (navigator.onLine && (asked.delete(form) || form.hasAttribute("hx-post") || !written(form))) {
        clear(form);
        return;
      }
      event.preventDefault();
      event.stopImmediatePropagation();
      if (!navigator.onLine) {
        hold(form, OFFLINE, { offline: true });
      } else if (!asking.has(form)) {
        asking.add(form);
        answers().then((there) => {
          asking.delete(form);
          if (!there) return hold(form, navigator.onLine ? AWAY : OFFLINE, { offline: !navigator.onLine });
          asked.add(form);
          form.requestSubmit(button ?? undefined);
          asked.delete(form); // A form that the browser itself refuses to send is asked about anew.
        });
      }
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
