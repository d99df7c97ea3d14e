// A phone or tablet, drawn: its screen says how it is locked.
import { svg } from "./dom.js";

const TABLET = /ipad|tab\b|tablet/i;

/** `lock` and `busy` are classes' work: `data-lock` is `locked`, `open` or `temporary`. */
export function handset(phone) {
  const wide = TABLET.test(phone.model);
  const [width, height] = wide ? [44, 58] : [30, 58];
  return svg("svg", { class: "handset", viewBox: `0 0 ${width} ${height}`, width, height, "aria-hidden": "true", data: { lock: lockState(phone) } },
    svg("rect", { class: "handset-body", x: 1, y: 1, width: width - 2, height: height - 2, rx: 6 }),
    svg("rect", { class: "handset-screen", x: 3.5, y: 3.5, width: width - 7, height: height - 7, rx: 4 }),
    svg("rect", { class: "handset-camera", x: width / 2 - 3.5, y: 5.6, width: 7, height: 1.8, rx: 0.9 }),
    svg("g", { transform: `translate(${width / 2} ${height / 2})` }, padlock(), keypad()));
}

export function lockState({ lock }) {
  if (lock.startsWith("open")) return "open";
  return lock.startsWith("temporary") ? "temporary" : "locked";
}

function padlock() {
  return svg("g", { class: "padlock" },
    svg("path", { class: "shackle", d: "M-3.6 0v-3a3.6 3.6 0 0 1 7.2 0v3" }),
    svg("rect", { x: -5.2, y: -0.6, width: 10.4, height: 8, rx: 1.8 }));
}

function keypad() {
  const dots = [-6, -2, 2, 6].map((x) => svg("circle", { cx: x, cy: 12.5, r: 1.2 }));
  return svg("g", { class: "keypad" }, dots);
}
