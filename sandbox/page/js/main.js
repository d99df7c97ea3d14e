// The page: everybody's Slack side by side, the phones, and the calls behind it all.
import { announce } from "./announce.js";
import { Calls } from "./calls.js";
import { Column } from "./column.js";
import { h } from "./dom.js";
import { Faults } from "./faults.js";
import { Hints } from "./hints.js";
import { Layout } from "./layout.js";
import { follow } from "./live.js";
import { toPart, walkParts } from "./parts.js";
import { Phones } from "./phones.js";
import { World } from "./world.js";

const REQUESTER = "U0MEI";

const at = (id) => document.getElementById(id);
const world = new World();
const columns = new Map();
const layout = new Layout({ chips: at("chips"), switcher: at("switcher"), side: at("side") });
const phones = new Phones(at("phones"), fillIn);
const calls = new Calls(at("calls"), world);
const faults = new Faults();
const hints = new Hints(at("hints"), fillIn);
const link = { node: at("link"), connected: false };

at("calls").append(faults.node);
at("skip").addEventListener("click", () => [...columns.values()].find((column) => !column.node.hidden)?.enter() ?? toPart(-1));
walkParts();
follow(onState, onLink);

function onState(snapshot) {
  const first = world.snapshot === null;
  world.take(snapshot);
  if (first) furnish();
  for (const column of columns.values()) column.render();
  phones.render(snapshot);
  calls.render();
  faults.render(snapshot.faults);
  hints.render(snapshot);
  tellLink();
}

/** People and panels take their places once it is known who there is. */
function furnish() {
  for (const person of world.people) {
    const column = new Column(person, world, (count) => layout.badge(person.id, count));
    columns.set(person.id, column);
    column.node.addEventListener("focusin", () => layout.follow(person.id));
    at("columns").append(column.node);
    layout.add(person.id, { person, show: (shown) => column.show(shown) });
  }
  for (const id of ["phones", "calls"]) layout.add(id, { show: (shown) => (at(id).hidden = !shown) });
  at("chips").append(hints.toggle);
}

function fillIn(text) {
  const requester = columns.get(REQUESTER);
  if (!requester) return;
  layout.reveal(REQUESTER);
  requester.write(text);
  announce("The command is in Mei's message box. Press Enter to send it.");
}

function onLink(connected) {
  link.connected = connected;
  tellLink();
}

function tellLink() {
  const [state, words] = linkWords();
  if (link.node.dataset.state === state && link.node.textContent === words) return;
  link.node.dataset.state = state;
  link.node.replaceChildren(h("i", { "aria-hidden": "true" }), h("span", {}, words));
  announce(words);
}

function linkWords() {
  if (!link.connected) return ["lost", "Connecting to the sandbox…"];
  const { bot } = world.snapshot ?? {};
  if (!bot) return ["lost", "Connected"];
  if (!bot.reachable) return ["down", "Bot not running"];
  return ["up", bot.mode === "socket" ? "Bot running (Socket Mode)" : "Bot running (HTTP)"];
}
