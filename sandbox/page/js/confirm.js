// The little dialog that asks before an element does its work.
import { h, freshId } from "./dom.js";
import { plain, textObject } from "./texts.js";
import { trap } from "./trap.js";

/** Shows `dialog` (a Block Kit confirm object) over `layer`; resolves to true when it was agreed to. */
export function ask(layer, dialog, env) {
  return new Promise((resolve) => {
    const finish = (agreed) => {
      shade.remove();
      resolve(agreed);
    };
    const shade = draw(dialog, env, finish);
    layer.append(shade);
    trap(shade, () => finish(false));
    shade.querySelector("[data-confirm]").focus();
  });
}

function draw(dialog, env, finish) {
  const [title, text] = [freshId("confirm-title"), freshId("confirm-text")];
  const look = dialog.style === "danger" ? "btn btn-danger-fill" : "btn btn-primary";
  return h("div", { class: "shade shade-confirm" },
    h("div", { class: "dialog", role: "alertdialog", "aria-labelledby": title, "aria-describedby": text },
      h("h3", { id: title }, plain(dialog.title)),
      h("div", { id: text, class: "dialog-text" }, textObject(dialog.text, env)),
      h("div", { class: "dialog-foot" },
        h("button", { type: "button", class: "btn", data: { deny: "" }, on: { click: () => finish(false) } }, plain(dialog.deny) || "Cancel"),
        h("button", { type: "button", class: look, data: { confirm: "" }, on: { click: () => finish(true) } }, plain(dialog.confirm) || "Yes"))));
}
