// Links out of the page, and the parts of a text that point at people, channels and addresses.
import { h } from "./dom.js";

const SCHEMES = new Set(["http:", "https:", "mailto:", "tel:"]);

/** The address if a browser may be sent there, else null (`javascript:` and its kin go nowhere). */
export function safeHref(address) {
  try {
    const url = new URL(address);
    return SCHEMES.has(url.protocol) ? url.href : null;
  } catch {
    return null;
  }
}

/** A link that opens beside the page; only its label where the address is unfit. */
export function link(address, label) {
  const href = safeHref(address);
  if (!href) return document.createTextNode(label);
  return h("a", { href, target: "_blank", rel: "noopener noreferrer", title: address }, label);
}

/** "@Ken Ito", marked when it is the reader. */
export function userMention(id, env) {
  const mine = id === env.personId ? " mention-me" : "";
  return h("span", { class: `mention${mine}` }, env.world.mention(id));
}

export function channelMention(id, env) {
  const channel = env.world.channel(id);
  const name = mayRead(channel, env.personId) ? channel.name : "private channel";
  return h("span", { class: "mention" }, `#${name}`);
}

const mayRead = (channel, personId) => channel && (!channel.private || channel.members.includes(personId));

export function broadcast(name) {
  return h("span", { class: "mention mention-me" }, `@${name}`);
}

export function groupMention(id, label, env) {
  const group = env.world.usergroup(id);
  const mine = group?.users?.includes(env.personId) ? " mention-me" : "";
  return h("span", { class: `mention${mine}` }, group ? `@${group.handle}` : label || `@${id}`);
}

const BARE = /https?:\/\/[^\s<>]+[^\s<>.,;:!?)'"\]]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+/g;

/** Text with the bare addresses in it turned into links, as Slack does unless told `verbatim`. */
export function autoLinked(text) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(BARE)) {
    parts.push(text.slice(from, match.index));
    const address = match[0];
    parts.push(link(address.startsWith("http") ? address : `mailto:${address}`, address));
    from = match.index + address.length;
  }
  parts.push(text.slice(from));
  return parts.filter((part) => part !== "");
}
