// What is on the screen: several people side by side, or one view at a time where it is narrow.
import { avatar } from "./avatar.js";
import { h, setCount } from "./dom.js";
import { icon } from "./icons.js";
import { keep, recall } from "./keep.js";

const AT_FIRST = ["U0MEI", "U0KEN", "U0AIKO", "phones", "calls"];
const PANELS = { phones: "Phones", calls: "Calls" };
const narrowly = matchMedia("(max-width: 760px), (max-height: 500px)");

export class Layout {
  #shown = new Set(recall("shown", AT_FIRST));
  #current = "U0MEI";
  #views = new Map();
  #buttons = new Map();
  #places;

  /** `places`: the elements `chips`, `switcher`, `side`. */
  constructor(places) {
    this.#places = places;
    narrowly.addEventListener("change", () => this.#apply());
  }

  /** Adds a person's column or a panel. `show(shown)` is told when it appears and goes. */
  add(id, { person, show }) {
    const face = () => (person ? avatar(person, "avatar-small") : icon(id));
    const name = person ? person.name.split(" ")[0] : PANELS[id];
    const chip = this.#button("chip", id, face(), name, () => this.#toggle(id));
    const tab = this.#button("switch", id, face(), name, () => this.reveal(id));
    this.#places.chips.append(chip);
    this.#places.switcher.append(tab);
    this.#views.set(id, show);
    this.#buttons.set(id, { chip, tab });
    this.#apply();
  }

  /** Makes sure that a view can be seen. */
  reveal(id) {
    this.#current = id;
    this.#shown.add(id);
    this.#apply();
  }

  /** The keyboard is in this view: it stays when the screen becomes narrow. */
  follow(id) {
    if (!narrowly.matches) this.#current = id;
  }

  badge(id, count) {
    for (const button of Object.values(this.#buttons.get(id) ?? {})) {
      setCount(button.querySelector(".count"), count, "new");
    }
  }

  #button(look, id, face, name, pressed) {
    const count = h("b", { class: "count", hidden: true });
    return h("button", { type: "button", class: look, data: { toggle: id }, on: { click: pressed } }, face, h("span", {}, name), count);
  }

  #toggle(id) {
    if (this.#shown.has(id)) this.#shown.delete(id);
    else this.#shown.add(id);
    keep("shown", [...this.#shown]);
    this.#apply();
  }

  #apply() {
    const narrow = narrowly.matches;
    for (const [id, show] of this.#views) {
      const { chip, tab } = this.#buttons.get(id);
      chip.setAttribute("aria-pressed", String(this.#shown.has(id)));
      tab.setAttribute("aria-current", String(id === this.#current));
      show(narrow ? id === this.#current : this.#shown.has(id));
    }
    const panels = narrow ? this.#current in PANELS : Object.keys(PANELS).some((id) => this.#shown.has(id));
    this.#places.side.hidden = !panels;
  }
}
