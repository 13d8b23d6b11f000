/* The common ground of the small scripts: what runs on every part of a page that arrives, the CSRF token, and a word to the reader. */
"use strict";
window.hotline = (() => {
  const starters = [];
  const start = (starter, root) => {
    try {
      starter(root);
    } catch (error) {
      console.error(error); // One broken behaviour must not take the others with it.
    }
  };
  let open = false;
  const onEveryPart = (starter) => {
    starters.push(starter);
    if (open) start(starter, document);
  };
  document.addEventListener("DOMContentLoaded", () => {
    open = true;
    starters.forEach((starter) => start(starter, document));
    // htmx announces every part that it puts in; the body itself was done above.
    document.addEventListener("htmx:load", (event) => {
      if (event.detail.elt !== document.body) starters.forEach((starter) => start(starter, event.detail.elt));
    });
  });

  const meta = (name) => document.querySelector(`meta[name="${name}"]`)?.content ?? "";

  /* All elements of a part that match, the part itself included. */
  const all = (root, selector) => {
    const found = [...root.querySelectorAll(selector)];
    if (root.matches?.(selector)) found.unshift(root);
    return found;
  };

  /* A short word at the corner. Good news goes by itself; bad news stays until it is closed. */
  const say = (tone, words) => {
    const toasts = document.getElementById("toasts");
    if (!toasts) return;
    const toast = document.createElement("div");
    toast.className = `notice notice-${tone}`;
    if (tone === "danger") toast.setAttribute("role", "alert");
    const text = document.createElement("p");
    text.textContent = words;
    const close = document.createElement("button");
    close.type = "button";
    close.className = "notice-close";
    close.dataset.dismiss = "";
    close.setAttribute("aria-label", "关闭提示");
    close.textContent = "×";
    toast.append(text, close);
    toasts.append(toast);
    while (toasts.children.length > 3) toasts.firstElementChild.remove();
    if (tone !== "danger") setTimeout(() => toast.remove(), 5000);
  };

  const problems = {
    401: "登录已过期，请重新登录。",
    403: "您没有权限进行此操作。",
    404: "没有找到，可能已被移走或不在您的范围内。",
    409: "内容已被他人修改，请刷新后再试。",
    413: "内容太大，没有保存。",
    429: "操作太频繁，请稍后再试。",
    503: "系统繁忙，请稍后再试。",
  };
  const sayStatus = (status) => say("danger", problems[status] ?? `没有成功（${status}），请稍后再试。`);

  return { all, meta, onEveryPart, say, sayStatus };
})();
