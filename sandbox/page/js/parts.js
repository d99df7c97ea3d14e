// F6 goes from part to part of the page, as in Slack: out of a modal too, which keeps Tab to itself.
import { reachable } from "./trap.js";

const PARTS = ".top, .hints, .column, .panel, .switcher";
const left = new WeakMap();

/** Starts to follow the keyboard. */
export function walkParts() {
  document.addEventListener("focusin", ({ target }) => left.set(target.closest(PARTS) ?? target, target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "F6") return;
    event.preventDefault();
    toPart(event.shiftKey ? -1 : 1);
  });
}

/** Goes on by `step` parts, to where the keyboard last was in that one. */
export function toPart(step) {
  const parts = [...document.querySelectorAll(PARTS)].filter((part) => reachable(part).length > 0);
  const at = parts.findIndex((part) => part.contains(document.activeElement));
  const next = at < 0 && step < 0 ? parts.length - 1 : (at + step + parts.length) % parts.length;
  entry(parts[next]).focus();
}

// A column is entered at its message box, a modal never at the cross that closes it.
function entry(part) {
  const stops = reachable(part);
  const known = [left.get(part), part.querySelector(".composer textarea")].find((stop) => stops.includes(stop));
  return known ?? stops.find((stop) => !stop.matches("[data-close-all]")) ?? stops[0];
}
