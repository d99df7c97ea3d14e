// The phones that Intune looks after.
import { announce } from "./announce.js";
import { post } from "./api.js";
import { COMMAND } from "./commands.js";
import { h, freshId, KeyedChildren, setText } from "./dom.js";
import { handset, lockState } from "./handset.js";
import { Roles } from "./roles.js";
import { dayAndMinute, hourMinuteSecond } from "./time.js";
import { handOver } from "./trap.js";

const BEHAVIOURS = ["completes", "fails", "not supported", "stays silent"];
const ON_RESET = { "stays silent": "no response" };

const ACTION_WORDS = {
  none: "Reset asked for", pending: "Reset pending", active: "Resetting",
  done: "Reset done", failed: "The reset failed", notSupported: "Reset not supported", canceled: "Reset cancelled",
};

const LOCKS = { locked: "Locked", "open: no passcode": "No passcode", open: "Unlocked", "temporary passcode": "New passcode" };
const NEVER = "0001-01-01T00:00:00Z";

const RUNNING = new Set(["none", "pending", "active"]);

/** `fillIn(text)` puts a command into the requester's composer. */
export class Phones {
  #cards = new Map();
  #list;

  constructor(root, fillIn) {
    const list = h("div", { class: "phone-list" });
    this.roles = new Roles();
    root.append(
      h("div", { class: "panel-head" }, h("h2", { id: "phones-title" }, "Phones"), h("p", {}, "Press one to ask for it as Mei")),
      h("div", { class: "panel-body" }, list, this.roles.node));
    this.#list = new KeyedChildren(list, {
      key: (phone) => phone.id,
      make: (phone) => this.#make(phone, fillIn),
      update: (_node, phone) => this.#cards.get(phone.id).update(phone),
    });
  }

  render(snapshot) {
    this.#list.render(snapshot.phones ?? []);
    this.roles.render(snapshot.roles ?? []);
  }

  #make(phone, fillIn) {
    const card = new PhoneCard(phone, fillIn);
    this.#cards.set(phone.id, card);
    return card.node;
  }
}

class PhoneCard {
  #phone;

  constructor(phone, fillIn) {
    this.#phone = phone;
    this.drawing = handset(phone);
    this.pill = h("span", { class: "pill" });
    this.progress = h("p", { class: "phone-action", hidden: true });
    this.behaviour = behaviourMenu(phone, (value) => this.#behave(value));
    this.facts = h("dl", { class: "facts" });
    this.result = h("p", { class: "unlock-result", role: "status" });
    this.unlock = unlockForm(phone, (passcode) => this.#unlock(passcode));
    this.node = this.#frame(phone, fillIn);
    this.update(phone);
  }

  #frame(phone, fillIn) {
    const ask = (target) => () => fillIn(`${COMMAND} ${target} `);
    return h("article", { class: "phone", data: { phone: phone.id }, "aria-label": nameOf(phone) },
      this.drawing,
      h("div", { class: "phone-main" },
        h("div", { class: "phone-line" },
          h("button", { type: "button", class: "btn-link owner", title: `Ask for ${phone.owner.upn}`, on: { click: ask(phone.owner.upn) } }, phone.owner.name), this.pill),
        deviceButton(phone, ask),
        this.progress, this.unlock, this.result,
        h("div", { class: "phone-tail" },
          h("details", { class: "phone-more" }, h("summary", {}, "On reset: ", h("b", {}, "")), this.behaviour.node, this.facts),
          h("span", { class: "system" }, `${phone.platform} ${shortVersion(phone.os_version)}`))));
  }

  update(phone) {
    this.#phone = phone;
    const lock = lockState(phone);
    this.drawing.dataset.lock = lock;
    this.node.dataset.lock = lock;
    setText(this.pill, LOCKS[phone.lock]);
    this.#tellUnlock(phone, lock === "temporary");
    this.behaviour.set(phone.behaviour);
    this.behaviour.node.hidden = phone.on_reset !== phone.behaviour; // the device decides, and not this page
    setText(this.node.querySelector("summary b"), ON_RESET[phone.on_reset] ?? phone.on_reset);
    this.#tellAction(phone.action);
    this.#tellFacts(phone);
    return this.node;
  }

  // A newer reset makes another passcode: what was typed for the one before does not wait for it.
  #tellUnlock(phone, asks) {
    if (this.unlock.dataset.reset !== String(phone.resets)) {
      this.unlock.reset();
      setText(this.result, "");
    }
    this.unlock.dataset.reset = phone.resets;
    if (!asks) handOver(this.unlock);
    this.unlock.hidden = !asks;
  }

  #tellAction(action) {
    const running = Boolean(action) && RUNNING.has(action.state);
    const began = running && this.progress.hidden;
    this.progress.hidden = !action;
    this.node.toggleAttribute("data-busy", running);
    if (!action) return;
    const words = ACTION_WORDS[action.state] ?? action.state;
    if (this.node.isConnected && this.progress.dataset.state !== action.state) announce(`${nameOf(this.#phone)}: ${words}. ${LOCKS[this.#phone.lock]}.`);
    this.progress.dataset.state = action.state;
    const at = action.updated_at ?? action.started_at;
    this.progress.replaceChildren(words, at ? h("time", { datetime: at }, hourMinuteSecond(at)) : "");
    if (began) this.node.scrollIntoView({ block: "nearest" });
  }

  #tellFacts(phone) {
    const facts = {
      "Device name": phone.name, System: `${phone.platform} ${phone.os_version}`, IMEI: phone.imei, Maker: phone.manufacturer, Enrolled: phone.enrollment,
      State: phone.management_state, "Last sync": phone.last_sync_at === NEVER ? "Never" : dayAndMinute(phone.last_sync_at), Resets: String(phone.resets ?? 0),
    };
    const rows = Object.entries(facts).filter(([, value]) => value);
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
  }

  async #behave(value) {
    const { error } = await post(`phones/${encodeURIComponent(this.#phone.id)}`, { behaviour: value });
    if (error) setText(this.result, error);
  }

  async #unlock(passcode) {
    const { data, error } = await post(`phones/${encodeURIComponent(this.#phone.id)}/unlock`, { passcode });
    setText(this.result, error ?? (data.open ? "It opens." : "Wrong passcode."));
    this.result.dataset.open = String(Boolean(data.open));
  }
}

const nameOf = ({ owner, model, serial }) => `${owner.name}'s ${model}${serial ? ` ${serial}` : ""}`;

// Some devices tell Intune no serial number; Intune's own id always names them.
function deviceButton({ id, model, serial }, ask) {
  const [target, shown, what] = serial ? [`serial:${serial}`, serial, "serial number"] : [`id:${id}`, "no serial", "Intune id"];
  return h("button", { type: "button", class: "phone-line device", title: `Ask for this device by its ${what}`, on: { click: ask(target) } },
    h("span", { class: "model" }, model), h("span", { class: "serial" }, shown));
}

const shortVersion = (version) => version.split(".").slice(0, 2).join(".");

function behaviourMenu(phone, change) {
  const select = h("select", { "aria-label": `What ${nameOf(phone)} does on a reset` },
    BEHAVIOURS.map((behaviour) => h("option", { value: behaviour }, ON_RESET[behaviour] ?? behaviour)));
  select.addEventListener("change", () => change(select.value));
  return {
    node: h("span", { class: "select select-small" }, select),
    set(value) {
      if (select.value !== value) select.value = value;
    },
  };
}

function unlockForm(phone, submit) {
  const id = freshId("passcode");
  const input = h("input", { id, type: "text", autocomplete: "off", spellcheck: "false", placeholder: "Type the passcode" });
  const send = (event) => {
    event.preventDefault();
    if (input.value) submit(input.value);
  };
  return h("form", { class: "unlock", hidden: true, on: { submit: send } },
    h("label", { class: "unseen", for: id }, `Passcode of ${nameOf(phone)}`), input,
    h("button", { type: "submit", class: "btn btn-small", "aria-label": `Unlock ${nameOf(phone)}` }, "Unlock"));
}
