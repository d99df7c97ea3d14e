// One person's Slack client.
import { postAs } from "./api.js";
import { avatar } from "./avatar.js";
import { Composer } from "./composer.js";
import { ask } from "./confirm.js";
import { h, KeyedChildren, setCount, setText } from "./dom.js";
import { icon } from "./icons.js";
import { MessageLog } from "./messages.js";
import { ModalStack } from "./modal.js";
import { reachable } from "./trap.js";
import { Unread } from "./unread.js";
import { channelName } from "./world.js";

const NOTICE_MS = 20_000;
const KINDS = { guest: "Guest", "single-channel-guest": "Guest", external: "Other organisation", deactivated: "Deactivated", bot: "Bot" };

export class Column {
  #world;
  #unread;
  #channelId = null;
  #shown = false;
  #returnTo = null;
  #gone = new Set();
  #onUnread;

  constructor(person, world, onUnread) {
    this.#world = world;
    this.#unread = new Unread(person.id);
    this.#onUnread = onUnread;
    this.person = person;
    this.#build(person, this.#environment(person.id));
  }

  #environment(personId) {
    return {
      world: this.#world,
      personId,
      say: (text) => this.say(text),
      confirm: (dialog) => this.#confirm(dialog),
      moveOn: () => this.#moveOn(),
    };
  }

  #build(person, env) {
    this.log = new MessageLog(env);
    this.composer = new Composer(env);
    this.modals = new ModalStack(env);
    this.tabs = h("nav", { class: "tabs", "aria-label": `Conversations of ${person.name}` });
    this.noticeList = h("div", { class: "notices" });
    this.problem = h("p", { class: "problem", role: "alert", hidden: true });
    this.client = h("div", { class: "client" }, head(person), this.tabs, this.log.node, this.noticeList, this.problem, this.composer.node);
    this.node = h("section", { class: "column", data: { person: person.id }, "aria-label": `${person.name}'s Slack` }, this.client, this.modals.layer);
    this.#lists(env);
  }

  #lists(env) {
    this.tabRows = new KeyedChildren(this.tabs, {
      key: (row) => row.id,
      make: (row) => tab(row, () => this.open(row.id)),
      update: (node, row) => updateTab(node, row),
    });
    this.noticeRows = new KeyedChildren(this.noticeList, { key: (row) => row.id, make: (row) => notice(row, () => this.#dismiss(row.id)), update: () => {} });
  }

  /** Everything that changed for this person. */
  render() {
    this.#channelId ??= this.#firstChannel();
    this.#renderChannel();
    this.noticeRows.render(this.#world.snapshot.notices?.[this.person.id] ?? []);
    this.#renderModals();
  }

  show(shown) {
    const appears = shown && !this.#shown;
    this.#shown = shown;
    this.node.hidden = !shown;
    if (!appears || !this.#channelId) return;
    this.log.toEnd();
    this.#renderChannel();
  }

  open(channelId) {
    this.#moveOn();
    this.#channelId = channelId;
    this.#renderChannel();
  }

  /** Puts a text into the composer for this person to send. */
  write(text) {
    if (this.#world.channel(this.#channelId)?.direct) this.open(this.#firstChannel());
    this.composer.write(text);
  }

  /** What Slack said of the last thing that was done goes with the next one. */
  #moveOn() {
    for (const { id } of this.#world.snapshot.notices?.[this.person.id] ?? []) this.#dismiss(id);
  }

  async #dismiss(id) {
    if (this.#gone.has(id)) return;
    this.#gone.add(id);
    this.say((await postAs(this.person.id, "dismiss", { id })).error);
  }

  say(text) {
    this.problem.hidden = !text;
    setText(this.problem, text ?? "");
  }

  #firstChannel() {
    const channels = this.#channels();
    const work = channels.find((channel) => channel.private && !channel.direct);
    return (work ?? channels[0])?.id;
  }

  #channels() {
    const { channels } = this.#world.person(this.person.id);
    return channels.map((id) => this.#world.channel(id)).filter(Boolean).sort((one, other) => one.direct - other.direct);
  }

  #renderChannel() {
    const channel = this.#world.channel(this.#channelId);
    if (!channel) return;
    const name = channelName(channel);
    const messages = this.#world.visible(channel.id, this.person.id);
    this.composer.turnTo(channel.id, name, channel.direct);
    this.log.render(channel.id, name, messages);
    if (this.#shown) this.#unread.read(channel.id, messages);
    this.#renderTabs();
  }

  #renderTabs() {
    const rows = this.#channels().map((channel) => ({
      id: channel.id,
      name: channelName(channel),
      kind: channel.direct ? "direct" : channel.private ? "private" : "open",
      unread: this.#unread.count(channel.id, this.#world.visible(channel.id, this.person.id)),
      current: channel.id === this.#channelId,
    }));
    this.tabRows.render(rows);
    const waiting = rows.reduce((sum, row) => sum + row.unread, 0);
    this.#onUnread(waiting + (this.#shown ? 0 : Number(this.modals.isOpen)));
  }

  #renderModals() {
    const before = this.modals.topId;
    const held = document.activeElement;
    const mine = this.node.contains(held) || held === document.body;
    if (!before && mine) this.#returnTo = this.client.contains(held) ? held : null;
    this.modals.render(this.#world.snapshot.modals?.[this.person.id] ?? []);
    this.client.inert = this.modals.isOpen;
    if (this.modals.topId === before || !this.#shown) return;
    // The keyboard follows only the person it is with: a modal never takes it out of another column.
    if (mine && this.modals.isOpen) this.modals.focus();
    else if (mine) this.#giveBack(this.#returnTo);
  }

  // Where it came from; else a place that is always there. In the app's own conversation nothing can be written.
  #giveBack(place) {
    const stops = reachable(this.client);
    this.#returnTo = null;
    [place, this.composer.input, this.log.list].find((stop) => stops.includes(stop))?.focus({ preventScroll: true });
  }

  /** Takes the keyboard: to the modal on top, else to the message box. */
  enter() {
    if (this.modals.isOpen) this.modals.focus();
    else this.#giveBack(null);
    return this;
  }

  async #confirm(dialog) {
    const held = document.activeElement;
    const answer = ask(this.node, dialog, { world: this.#world, personId: this.person.id });
    this.client.inert = true;
    const agreed = await answer;
    this.client.inert = this.modals.isOpen;
    if (held?.isConnected && !held.closest("[inert]")) held.focus();
    else this.enter();
    return agreed;
  }
}

function head(person) {
  const kind = KINDS[person.kind];
  return h("header", { class: "who" },
    avatar(person, "avatar-large"),
    h("div", { class: "who-text" },
      h("h2", {}, person.name),
      h("p", { title: person.title }, person.title)),
    kind && h("span", { class: "tag tag-kind" }, kind));
}

function tab(row, open) {
  const sign = { private: icon("lock"), open: null, direct: h("img", { src: "page/icon.svg", alt: "", width: "14", height: "14" }) }[row.kind];
  const name = row.kind === "private" ? [h("span", { class: "unseen" }, "Private channel "), row.name.slice(1)] : row.name;
  const node = h("button", { type: "button", class: "tab", data: { channel: row.id }, on: { click: open } }, sign, h("span", {}, name), h("b", { class: "count" }));
  updateTab(node, row);
  return node;
}

function updateTab(node, row) {
  node.setAttribute("aria-current", String(row.current));
  node.classList.toggle("tab-unread", row.unread > 0);
  const count = node.querySelector(".count");
  setCount(count, row.unread, "unread");
}

function notice(row, dismiss) {
  const leave = () => {
    if (node.matches(":hover, :focus-within")) setTimeout(leave, NOTICE_MS);
    else if (node.isConnected) dismiss();
  };
  setTimeout(leave, NOTICE_MS);
  const node = h("div", { class: "notice", role: "status", data: { notice: row.id } },
    h("p", { class: "notice-from" }, "Slack · only visible to you"),
    h("p", {}, row.text),
    h("button", { type: "button", class: "btn-bare", "aria-label": `Dismiss: ${row.text}`, on: { click: dismiss } }, icon("close")));
  return node;
}
