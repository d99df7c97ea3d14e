// What a screen reader is told, politely, one line after another.
import { h } from "./dom.js";

const KEPT = 5;

export function announce(words) {
  const log = document.getElementById("announcer");
  log.append(h("p", {}, words));
  if (log.children.length > KEPT) log.firstElementChild.remove();
}
