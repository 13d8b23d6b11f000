/* htmx: the CSRF header on every request, a word when a request fails. Its settings stand in <meta name="htmx-config">. */
"use strict";
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = hotline.meta("csrf-token");
});
document.addEventListener("htmx:responseError", (event) => hotline.sayStatus(event.detail.xhr.status));
document.addEventListener("htmx:sendError", () => hotline.say("danger", "网络不通，请检查后重试。"));
document.addEventListener("htmx:timeout", () => hotline.say("danger", "等待太久，请重试。"));
