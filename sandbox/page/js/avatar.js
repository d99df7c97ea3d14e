// The little squares with initials.
import { h } from "./dom.js";

/** A person's square. White or dark letters, whichever reads better on their colour. */
export function avatar(person, size = "") {
  const back = cssColor(person.color);
  const props = { class: `avatar ${size}`.trim(), style: { background: back, color: inkOn(back) }, "aria-hidden": "true" };
  return h("span", props, person.initials ?? initials(person.name));
}

/** The app's square. */
export function appAvatar(size = "") {
  return h("img", { class: `avatar ${size}`.trim(), src: "page/icon.svg", alt: "" });
}

const initials = (name) => name.split(/\s+/).map((word) => word[0]).join("").slice(0, 2);

/** Slack writes colours without the hash. */
export const cssColor = (color) => (/^[0-9a-f]{6}$/i.test(color ?? "") ? `#${color}` : (color || "#5b6472"));

function inkOn(color) {
  const digits = /^#([0-9a-f]{6})$/i.exec(color)?.[1];
  if (!digits) return "#fff";
  const [red, green, blue] = [0, 2, 4].map((at) => linear(parseInt(digits.slice(at, at + 2), 16) / 255));
  const light = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  // The darker ink wins where its WCAG contrast is the higher of the two.
  return (light + 0.05) / 0.06 > 1.05 / (light + 0.05) ? "#14161a" : "#fff";
}

const linear = (part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
