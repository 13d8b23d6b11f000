/* data-reveal="/tickets/7/reveal/phone": asks why (#look-why, once per page), asks the server for what is masked (it writes
   who looked and why), shows it for a minute. */
"use strict";
(() => {
  const SHOWN_MS = 60000;
  const timers = new WeakMap();

  const hide = (button) => {
    clearTimeout(timers.get(button));
    const place = button.closest(".masked").querySelector("[data-masked]");
    place.textContent = button.dataset.hidden;
    delete button.dataset.hidden;
    button.querySelector("[data-reveal-words]").textContent = "查看";
    button.setAttribute("aria-expanded", "false");
  };
  const show = (button, words) => {
    const place = button.closest(".masked").querySelector("[data-masked]");
    button.dataset.hidden = place.textContent;
    place.textContent = words;
    button.querySelector("[data-reveal-words]").textContent = "隐藏";
    button.setAttribute("aria-expanded", "true");
    timers.set(button, setTimeout(() => hide(button), SHOWN_MS));
  };

  /* What was said stands for the other fields of the same page. */
  let said = null;
  const why = () =>
    new Promise((answer) => {
      const dialog = document.getElementById("look-why");
      if (said || !dialog) return answer(said);
      const field = dialog.querySelector("input");
      const choose = (event) => {
        const reason = event.target.closest?.("[data-look-reason]")?.dataset.lookReason;
        if (!reason) return;
        said = new URLSearchParams({ reason });
        dialog.close();
      };
      const write = (event) => {
        const words = field.value.trim();
        if (words) said = new URLSearchParams({ words });
        else event.preventDefault();
      };
      dialog.addEventListener("click", choose);
      dialog.addEventListener("submit", write);
      dialog.addEventListener(
        "close",
        () => {
          dialog.removeEventListener("click", choose);
          dialog.removeEventListener("submit", write);
          answer(said);
        },
        { once: true },
      );
      dialog.showModal();
    });

  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("[data-reveal]");
    if (!button || button.getAttribute("aria-busy") === "true") return;
    if (button.dataset.hidden !== undefined) {
      hide(button);
      return;
    }
    const reason = await why();
    if (!reason) return;
    button.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(button.dataset.reveal, {
        method: "POST",
        headers: { "X-CSRFToken": hotline.meta("csrf-token"), Accept: "application/json, text/plain" },
        body: reason,
        redirect: "manual",
        cache: "no-store",
      });
      if (answer.type === "opaqueredirect") hotline.sayStatus(401);
      else if (!answer.ok) hotline.sayStatus(answer.status);
      else {
        const json = answer.headers.get("content-type")?.includes("json");
        show(button, json ? (await answer.json()).value : (await answer.text()).trim());
      }
    } catch {
      hotline.say("danger", "网络不通，请检查后重试。");
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
})();
