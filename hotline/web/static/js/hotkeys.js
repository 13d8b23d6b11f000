/* data-key="alt+s": a key presses a button, follows a link or goes to a field; `?` lists the keys of this page; j k enter x walk a list.
   A key without Alt or Ctrl never acts while something is being typed, and none acts while an input method is composing. */
"use strict";
(() => {
  const codes = { Slash: "/", BracketLeft: "[", BracketRight: "]", Comma: ",", Period: ".", Enter: "enter", NumpadEnter: "enter", Escape: "esc" };

  // By the key's place, not its letter: under a Chinese input method or with Alt on a Mac the letter is not to be had.
  const comboOf = (event) => {
    let key = codes[event.code];
    if (!key && /^Key[A-Z]$/.test(event.code)) key = event.code.slice(3).toLowerCase();
    if (!key && /^(Digit|Numpad)\d$/.test(event.code)) key = event.code.slice(-1);
    if (!key) return "";
    if (event.shiftKey && key === "/") return "?";
    if (event.shiftKey) return "";
    return `${event.ctrlKey || event.metaKey ? "ctrl+" : ""}${event.altKey ? "alt+" : ""}${key}`;
  };

  const isTyping = (element) =>
    element?.isContentEditable || element?.matches?.("textarea, select, input:not([type=checkbox], [type=radio], [type=button], [type=submit])");

  const isThere = (element) => element.getClientRects().length > 0 && !element.disabled && element.getAttribute("aria-disabled") !== "true";

  // While a dialog is open the page behind it does not hear.
  const stage = () => [...document.querySelectorAll("dialog[open]")].pop() ?? document;

  const keyed = (combo) => [...stage().querySelectorAll(combo ? `[data-key="${CSS.escape(combo)}"]` : "[data-key]")].filter(isThere);

  const press = (element) => {
    if (isTyping(element)) {
      element.focus();
      element.select?.();
    } else {
      element.focus();
      element.click();
    }
  };

  // One key may stand in every row of a list and in every question of a script. The row or the question that has the focus
  // hears it; a row without it never does; of the questions otherwise the first one that has no answer yet.
  const heard = (combo) => {
    const found = keyed(combo);
    const here = document.activeElement?.closest?.("tr[data-row], form[data-questions] fieldset");
    const free = found.filter((one) => !one.closest("tr[data-row]") || one.closest("[data-row-keys]"));
    return found.find((one) => here?.contains(one)) ?? free.find((one) => !one.closest("form[data-questions] fieldset")?.querySelector(":checked")) ?? free[0];
  };

  // After an answer the next question has the focus.
  const goOn = (element) => {
    const question = element.closest("form[data-questions] fieldset");
    if (!question || !element.checked) return;
    const all = [...element.form.querySelectorAll("fieldset")].filter(isThere);
    const next = all[all.indexOf(question) + 1];
    const place = next ? next.querySelector(":checked") ?? next.querySelector("input") : [...element.form.querySelectorAll("textarea, [type=submit]")].find(isThere);
    place?.focus({ focusVisible: true });
  };

  const rows = () => [...stage().querySelectorAll("table[data-list] tr[data-row]")].filter(isThere);
  const handleOf = (row) => row.querySelector("td a[href], td button") ?? row;
  const walk = (step) => {
    const list = rows();
    if (!list.length) return;
    const here = list.findIndex((row) => row.contains(document.activeElement));
    const next = list[here < 0 ? 0 : Math.min(Math.max(here + step, 0), list.length - 1)];
    const handle = handleOf(next);
    if (handle === next) next.tabIndex = -1;
    handle.focus({ focusVisible: true });
    next.scrollIntoView({ block: "nearest" });
  };

  const wordsOf = (element) => {
    if (element.dataset.keyWords) return element.dataset.keyWords;
    const source = element.labels?.length ? element.labels[0] : element;
    if (element.getAttribute("aria-label")) return element.getAttribute("aria-label");
    const copy = source.cloneNode(true);
    copy.querySelectorAll("kbd, svg, .must, select, input, textarea, .visually-hidden").forEach((part) => part.remove());
    return copy.textContent.trim() || source.textContent.trim();
  };
  const keyName = (combo) => combo.split("+").map((part) => part.charAt(0).toUpperCase() + part.slice(1)).join("+");

  const listKeys = () => {
    if (document.getElementById("key-list")) return;
    const seen = new Map();
    for (const element of keyed()) if (!seen.has(element.dataset.key)) seen.set(element.dataset.key, wordsOf(element));
    const common = [["?", "本页快捷键"], ["esc", "关闭对话框、离开输入框"]];
    if (rows().length) {
      common.unshift(["j", "下一行"], ["k", "上一行"], ["enter", "打开所在行"]);
      if (document.querySelector("[data-bulk-one]")) common.splice(3, 0, ["x", "选择所在行"]);
    }
    if (document.querySelector("form textarea") && !seen.has("ctrl+enter")) common.unshift(["ctrl+enter", "提交所在的表单"]);
    const dialog = document.createElement("dialog");
    dialog.className = "dialog dialog-keys";
    dialog.id = "key-list";
    dialog.setAttribute("aria-labelledby", "key-list-title");
    const head = document.createElement("div");
    head.className = "dialog-head";
    const title = document.createElement("h2");
    title.className = "dialog-title";
    title.id = "key-list-title";
    title.textContent = "本页快捷键";
    const close = document.createElement("button");
    close.type = "button";
    close.className = "dialog-close";
    close.dataset.close = "";
    close.setAttribute("aria-label", "关闭");
    close.textContent = "×";
    head.append(title, close);
    const body = document.createElement("div");
    body.className = "dialog-body";
    const list = (pairs) => {
      const element = document.createElement("dl");
      element.className = "keys";
      for (const [combo, words] of pairs) {
        const pair = document.createElement("div");
        const term = document.createElement("dt");
        const key = document.createElement("kbd");
        key.className = "key";
        key.textContent = keyName(combo);
        term.append(key);
        const meaning = document.createElement("dd");
        meaning.textContent = words;
        pair.append(term, meaning);
        element.append(pair);
      }
      return element;
    };
    if (seen.size) body.append(list([...seen]));
    body.append(list(common));
    const note = document.createElement("p");
    note.className = "keys-note";
    note.textContent = "正在输入时，只有带 Alt 或 Ctrl 的快捷键有效。";
    body.append(note);
    dialog.append(head, body);
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  };

  const submitHere = () => {
    const form = document.activeElement?.closest?.("form");
    const button = form ? (form.querySelector('[data-key="ctrl+enter"]') ?? form.querySelector('button[type="submit"], button:not([type])')) : keyed("ctrl+enter")[0];
    if (button && isThere(button)) button.click();
    return Boolean(button);
  };

  const act = (combo) => {
    if (combo === "ctrl+enter") return submitHere();
    const element = heard(combo);
    if (element) {
      press(element);
      goOn(element);
      return true;
    }
    if (combo === "?") listKeys();
    else if (combo === "j") walk(1);
    else if (combo === "k") walk(-1);
    else if (combo === "x") document.activeElement?.closest?.("tr[data-row]")?.querySelector("[data-bulk-one]")?.click();
    else if (combo === "enter" && document.activeElement?.matches?.("tr[data-row]")) handleOf(document.activeElement).click();
    else return false;
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.keyCode === 229 || event.repeat && event.code !== "KeyJ" && event.code !== "KeyK") return;
    if (event.getModifierState("AltGraph")) return;
    const combo = comboOf(event);
    if (!combo) return;
    const typing = isTyping(document.activeElement);
    if (combo === "esc") {
      if (typing && stage() === document) document.activeElement.blur();
      return;
    }
    if (typing && !/^(ctrl|alt)\+/.test(combo)) return;
    // Enter on a link or button is the browser's own.
    if (combo === "enter" && !document.activeElement?.matches?.("tr[data-row]")) return;
    if (act(combo)) event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("[data-keys]")) listKeys();
  });

  hotline.onEveryPart((root) => {
    for (const element of hotline.all(root, "[data-key]")) element.setAttribute("aria-keyshortcuts", keyName(element.dataset.key).replace("Ctrl", "Control"));
  });
})();
