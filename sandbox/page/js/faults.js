// Bad moments to order for Slack, Entra and Graph.
import { post, remove } from "./api.js";
import { freshId, h, KeyedChildren, setCount, setText } from "./dom.js";
import { icon } from "./icons.js";

const VENDORS = { graph: "Graph", slack: "Slack", entra: "Entra" };

const CALLS = {
  graph: [["resetPasscode", "Reset a passcode"], ["GET ", "Read phones and people"], ["", "Every call"]],
  slack: [["chat.postMessage", "Post a message"], ["chat.update", "Change a message"], ["views.", "Open or change a window"], ["users.", "Look people up"], ["", "Every call"]],
  entra: [["/token", "Get a token"], ["/authorize", "Show the sign-in page"], ["", "Every call"]],
};

const KINDS = [
  ["reset after", "Done, but no answer arrives", { kind: "reset after" }],
  ["reset before", "The connection breaks, nothing is done", { kind: "reset before" }],
  ["truncated", "Done, but only half the answer arrives", { kind: "truncated" }],
  ["5xx", "Answered 503, nothing is done", { kind: "5xx", status: 503 }],
  ["429", "Answered 429: come back in 5 s", { kind: "429", retry_after: 5 }],
  ["latency", "Done, 5 s late", { kind: "latency", seconds: 5 }],
  ["hang", "No answer, nothing is done", { kind: "hang" }],
];

const TIMES = [
  ["once", "once", { times: 1 }],
  ["thrice", "3 times", { times: 3 }],
  ["ever", "every time", { times: null }],
  ["storm", "1 time in 3", { times: null, probability: 0.33 }],
];

export class Faults {
  #rows;

  constructor() {
    this.vendor = menu("Vendor", Object.entries(VENDORS));
    this.call = menu("Call", CALLS.graph);
    this.kind = menu("What goes wrong", KINDS);
    this.times = menu("How often", TIMES);
    this.vendor.select.addEventListener("change", () => this.call.offer(CALLS[this.vendor.select.value]));
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.count = h("b", { class: "fault-count", hidden: true });
    this.summary = h("summary", {}, icon("storm"), h("span", {}, "Make something fail"), this.count, icon("chevron"));
    const list = h("ul", { class: "fault-list", "aria-label": "What will fail" });
    this.node = h("details", { class: "faults" }, this.summary, h("div", { class: "fault-body" }, this.#form(), this.problem, list));
    this.#rows = new KeyedChildren(list, { key: (fault) => fault.id, make: (fault) => this.#row(fault), update: (node, fault) => tell(node, fault) });
  }

  render(faults = []) {
    this.#rows.render(faults);
    setCount(this.count, faults.length, "to come");
  }

  #form() {
    const submit = (event) => {
      event.preventDefault();
      this.#add();
    };
    return h("form", { class: "fault-form", on: { submit } },
      this.vendor.node, this.call.node, this.kind.node, this.times.node,
      h("button", { type: "submit", class: "btn btn-small" }, "Let it fail"));
  }

  async #add() {
    const rule = { to: this.vendor.select.value, match: this.call.select.value, ...chosen(this.kind, KINDS), ...chosen(this.times, TIMES) };
    this.#complain(await post("faults", rule));
  }

  #row(fault) {
    const take = async () => {
      const { ok, error } = await remove(`faults/${fault.id}`);
      this.#complain({ error });
      if (ok) this.summary.focus();
    };
    const words = h("span", { class: "fault-words" }, h("b", {}), h("span", {}));
    const button = h("button", { type: "button", class: "btn-bare", on: { click: take } }, icon("close"));
    return tell(h("li", { class: "fault-row", data: { fault: fault.id } }, h("span", { class: `to to-${fault.to}` }, VENDORS[fault.to]), words, button), fault);
  }

  #complain({ error }) {
    this.problem.hidden = !error;
    setText(this.problem, error ?? "");
  }
}

function menu(label, options) {
  const id = freshId("fault");
  const select = h("select", { id });
  const offer = (choices) => select.replaceChildren(...choices.map(([value, words]) => h("option", { value }, words)));
  offer(options);
  return { select, offer, node: h("div", { class: "fault-field" }, h("label", { for: id }, label), h("span", { class: "select select-small" }, select)) };
}

const chosen = ({ select }, choices) => choices.find(([value]) => value === select.value)[2];

function tell(node, fault) {
  const words = `${outcome(fault)}; ${often(fault)}.`;
  setText(node.querySelector(".fault-words b"), subject(fault));
  setText(node.querySelector(".fault-words span"), words);
  node.querySelector("button").setAttribute("aria-label", `Call off: ${VENDORS[fault.to]}, ${subject(fault)}. ${words}`);
  return node;
}

const subject = ({ to, match }) => (CALLS[to].find(([known]) => known === match)?.[1] ?? match);

function outcome({ kind, seconds, status, retry_after: wait, after }) {
  const effect = after ? "done" : "nothing is done";
  switch (kind) {
    case "latency":
      return `Done, ${seconds} s late`;
    case "5xx":
      return `Answered ${status}, ${effect}`;
    case "429":
      return wait === null ? "Answered 429, no Retry-After" : `Answered 429: come back in ${wait} s`;
    case "hang":
      return `No answer, ${effect}`;
    case "aborted":
      return "Done, but the answer breaks off";
    default:
      return KINDS.find(([known]) => known === kind)?.[1] ?? kind;
  }
}

function often({ left, probability, hits, skip }) {
  const times = left === null ? null : left === 1 ? "the next time" : `the next ${left} times`;
  const chance = probability < 1 ? `${Math.round(probability * 100)} % of the time` : left === null ? "every time" : null;
  return [times, chance, skip > 0 && `after ${skip} good ones`, hits > 0 && `${hits} so far`].filter(Boolean).join(", ");
}
