// A button that opens a short list of things to do.
import { h } from "./dom.js";
import { icon } from "./icons.js";

/** `options`: `{label, pick(), href?}`. Arrow keys, Escape and clicking elsewhere work as people expect. */
export function menu(label, options, data) {
  const toggle = h("button", { type: "button", class: "btn btn-icon", "aria-haspopup": "menu", "aria-expanded": "false", "aria-label": label }, icon("more"));
  const list = h("div", { class: "menu", role: "menu", "aria-label": label, hidden: true });
  const root = h("div", { class: "menu-root", data }, toggle, list);
  const open = (wanted) => show(toggle, list, wanted);
  const close = () => {
    toggle.focus(); // the item that was pressed is about to hide
    open(false);
  };
  list.append(...options.map((option) => item(option, close)));
  toggle.addEventListener("click", () => open(list.hidden));
  root.addEventListener("keydown", (event) => walk(event, list, toggle, open));
  root.addEventListener("focusout", (event) => {
    if (!root.contains(event.relatedTarget)) open(false);
  });
  return root;
}

function show(toggle, list, wanted) {
  list.hidden = !wanted;
  toggle.setAttribute("aria-expanded", String(wanted));
  if (!wanted) return;
  place(list);
  list.firstElementChild?.focus();
}

/** To the left or upwards where it would leave the scrolling part that it stands in. */
function place(list) {
  list.classList.remove("menu-left", "menu-up");
  const frame = list.closest(".log, .modal-body")?.getBoundingClientRect();
  if (!frame) return;
  const box = list.getBoundingClientRect();
  list.classList.toggle("menu-left", box.right > frame.right);
  list.classList.toggle("menu-up", box.bottom > frame.bottom);
}

function item(option, close) {
  const props = { role: "menuitem", class: "menu-item", tabindex: "-1" };
  const node = option.href
    ? h("a", { ...props, href: option.href, target: "_blank", rel: "noopener noreferrer" }, option.label)
    : h("button", { ...props, type: "button" }, option.label);
  node.addEventListener("click", () => {
    close();
    option.pick();
  });
  return node;
}

function walk(event, list, toggle, open) {
  if (list.hidden) return;
  const items = [...list.children];
  const at = items.indexOf(document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) items[(at + step + items.length) % items.length].focus();
  else if (event.key === "Escape") {
    open(false);
    toggle.focus();
  } else return;
  event.preventDefault();
  event.stopPropagation();
}
