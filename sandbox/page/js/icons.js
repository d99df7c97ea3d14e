// The few drawings of the page.
import { svg } from "./dom.js";

const PATHS = {
  lock: ["M5 7V5a3 3 0 0 1 6 0v2", "M4 7h8v6.2H4z"],
  close: ["M4 4l8 8M12 4l-8 8"],
  send: ["M2.5 8 13.5 3l-3.2 10-2.6-3.8z"],
  eye: ["M1.8 8S4 3.9 8 3.9 14.2 8 14.2 8 12 12.1 8 12.1 1.8 8 1.8 8z", "M8 6.4a1.6 1.6 0 1 0 0 3.2 1.6 1.6 0 0 0 0-3.2z"],
  more: ["M3.5 8h.01M8 8h.01M12.5 8h.01"],
  chevron: ["M4 6l4 4 4-4"],
  down: ["M8 3v10M4 9l4 4 4-4"],
  out: ["M6.5 3.5h-3v9h9v-3", "M9 3h4v4M13 3 7.5 8.5"],
  phones: ["M5 1.8h6v12.4H5z", "M7.2 12h1.6"],
  calls: ["M2 5h10M9.5 2.5 12 5 9.5 7.5", "M14 11H4M6.5 8.5 4 11l2.5 2.5"],
  storm: ["M9 1.8 3.8 9H8l-1 5.2L12.2 7H8z"],
  steps: ["M3 4h.01M3 8h.01M3 12h.01", "M6 4h7M6 8h7M6 12h7"],
  check: ["M3 8.5 6.5 12 13 4.5"],
};

/** A 16-unit line drawing, invisible to screen readers. */
export function icon(name, className = "") {
  const lines = PATHS[name].map((d) => svg("path", { d }));
  return svg("svg", { class: `icon ${className}`.trim(), viewBox: "0 0 16 16", "aria-hidden": "true" }, lines);
}
