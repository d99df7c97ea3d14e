// The messages of one channel as one person sees them.
import { postAs } from "./api.js";
import { appAvatar, avatar } from "./avatar.js";
import { drawBlocks } from "./blocks.js";
import { h, KeyedChildren } from "./dom.js";
import { icon } from "./icons.js";
import { mrkdwn } from "./mrkdwn.js";
import { hourMinute, inFull } from "./time.js";
import { handOver } from "./trap.js";

const NEAR_END_PX = 60;
const BRIEF = 80;

/** One scrolling log. It stays at the end while the reader is there, and offers a way back when not. */
export class MessageLog {
  #env;
  #channelId = null;
  #children = null;
  #atEnd = true;
  #top = 0;

  constructor(env) {
    this.#env = env;
    this.list = h("div", { class: "log", role: "log", tabindex: "0", on: { scroll: () => this.#scrolled(), keydown: (event) => this.#walk(event) } });
    this.jump = h("button", { type: "button", class: "jump", hidden: true, on: { click: () => this.toEnd() } }, icon("down"), "Newer messages");
    this.node = h("div", { class: "log-frame" }, this.list, this.jump);
    // A notice or a longer draft takes room from the log: its end stays in sight.
    new ResizeObserver(() => this.#atEnd && this.toEnd()).observe(this.list);
  }

  render(channelId, name, messages) {
    if (channelId !== this.#channelId) this.#start(channelId, name);
    const before = this.list.scrollHeight;
    this.#children.render(messages);
    this.list.classList.toggle("log-empty", messages.length === 0);
    if (this.#atEnd) this.toEnd();
    else if (this.list.scrollHeight > before) this.jump.hidden = false;
  }

  toEnd() {
    this.list.scrollTop = this.list.scrollHeight;
    this.#atEnd = true;
    handOver(this.jump);
    this.jump.hidden = true;
  }

  // As in Slack: the arrows go from message to message, Tab into the one that has the keyboard.
  #walk(event) {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const rows = [...this.list.children];
    const at = event.target === this.list ? rows.length : rows.indexOf(event.target);
    if (!step || at < 0) return;
    event.preventDefault();
    rows[at + step]?.focus();
  }

  #start(channelId, name) {
    this.#channelId = channelId;
    this.#atEnd = true;
    this.list.replaceChildren();
    this.list.dataset.channel = channelId;
    this.list.setAttribute("aria-label", `Messages in ${name}`);
    const env = { ...this.#env, channelId };
    this.#children = new KeyedChildren(this.list, {
      key: (message) => message.id ?? message.ts,
      make: (message) => draw(message, env),
      update: (old, message) => redraw(old, message, env),
    });
  }

  #scrolled() {
    if (this.list.clientHeight === 0) return; // hidden: there is no place to keep
    const { scrollTop, scrollHeight, clientHeight } = this.list;
    const near = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    // Only scrolling up leaves the end: a log that became shorter is brought back there.
    if (near) this.#atEnd = true;
    else if (scrollTop < this.#top) this.#atEnd = false;
    this.#top = scrollTop;
    if (this.#atEnd) this.jump.hidden = true;
  }
}

function redraw(old, message, env) {
  const held = old.contains(document.activeElement) ? document.activeElement.closest("[data-action-id]") : null;
  const fresh = draw(message, env);
  fresh.classList.add("changed");
  if (old.contains(document.activeElement)) queueMicrotask(() => refocus(fresh, held?.dataset.actionId));
  return fresh;
}

// The same button where the card still has it; else the card, so that the keyboard keeps its place.
function refocus(message, actionId) {
  const same = actionId && message.querySelector(`[data-action-id="${CSS.escape(actionId)}"]`);
  const stop = same?.matches("a, button, select, input") ? same : same?.querySelector("button, select, input");
  (stop ?? message).focus();
}

function draw(message, env) {
  const { from } = message;
  const person = env.world.person(from.id);
  const kind = message.only_for ? " message-private" : "";
  return h("article", { class: `message${kind}`, tabindex: "-1", data: { ts: message.ts, from: from.id, onlyFor: message.only_for } },
    message.only_for && privately(message, env),
    inThread(message) && h("p", { class: "privately" }, `Replied to a thread: ${parentOf(message, env)}`),
    from.app ? appAvatar() : avatar(person ?? from),
    h("div", { class: "message-main" }, byline(message, person), body(message, env)));
}

// The page draws no threads: a reply stands in its place in time and says what it is.
const inThread = ({ ts, thread_ts }) => Boolean(thread_ts) && thread_ts !== ts;

function parentOf({ thread_ts: ts }, env) {
  const parent = env.world.visible(env.channelId, env.personId).find((message) => message.ts === ts);
  return parent ? inBrief(parent, env) : "a message that is gone";
}

const inBrief = ({ text }, env) => mrkdwn(text ?? "", env).textContent.slice(0, BRIEF);

function privately(message, env) {
  const dismiss = () => postAs(env.personId, "dismiss", { id: message.id ?? message.ts }).then(({ error }) => env.say(error));
  return h("p", { class: "privately" }, icon("eye"), h("span", {}, "Only visible to you"), " · ",
    h("button", { type: "button", class: "btn-link", data: { dismiss: "" }, "aria-label": `Dismiss: ${inBrief(message, env)}`, on: { click: dismiss } }, "Dismiss"));
}

function byline({ from, at }, person) {
  return h("header", { class: "byline" },
    h("strong", { class: "author" }, from.name ?? person?.name ?? from.id),
    from.app && h("span", { class: "tag tag-app" }, "App"),
    person?.kind === "external" && h("span", { class: "tag" }, person.team.name),
    h("time", { datetime: at, title: inFull(at) }, hourMinute(at)));
}

function body(message, env) {
  const place = { channel: env.channelId, ts: message.ts };
  const act = async (choice) => {
    env.moveOn();
    env.say((await postAs(env.personId, "click", { ...place, ...choice })).error);
  };
  const inner = message.blocks?.length
    ? drawBlocks(message.blocks, { ...env, act, place })
    : h("div", { class: "block" }, mrkdwn(message.text ?? "", env));
  return h("div", { class: "message-body" }, inner, message.edited && h("span", { class: "edited" }, "(edited)"));
}
