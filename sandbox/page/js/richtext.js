// The `rich_text` block: already a tree, drawn as it stands.
import { h } from "./dom.js";
import { emoji } from "./emoji.js";
import { broadcast, channelMention, groupMention, link, userMention } from "./links.js";
import { slackDate } from "./time.js";

/** Nodes for a rich_text block. */
export function richText(block, env) {
  return block.elements.map((element) => part(element, env));
}

function part(element, env) {
  const inner = () => (element.elements ?? []).map((leaf) => styled(leaf, env));
  switch (element.type) {
    case "rich_text_section":
      return h("div", { class: "rich" }, inner());
    case "rich_text_preformatted":
      return h("pre", {}, inner());
    case "rich_text_quote":
      return h("blockquote", {}, inner());
    case "rich_text_list":
      return list(element, env);
    default:
      return h("div", { class: "undrawn" }, `This page does not draw ${element.type}.`);
  }
}

function list(element, env) {
  const tag = element.style === "ordered" ? "ol" : "ul";
  const items = element.elements.map((item) => h("li", {}, part(item, env)));
  return h(tag, { class: `rich-list rich-indent-${element.indent ?? 0}`, start: (element.offset ?? 0) + 1 }, items);
}

function styled(leaf, env) {
  let node = bare(leaf, env);
  const style = leaf.style ?? {};
  if (style.code) node = h("code", {}, node);
  if (style.bold) node = h("strong", {}, node);
  if (style.italic) node = h("em", {}, node);
  if (style.strike) node = h("s", {}, node);
  return node;
}

function bare(leaf, env) {
  switch (leaf.type) {
    case "text":
      return document.createTextNode(leaf.text);
    case "link":
      return link(leaf.url, leaf.text || leaf.url);
    case "user":
      return userMention(leaf.user_id, env);
    case "channel":
      return channelMention(leaf.channel_id, env);
    case "usergroup":
      return groupMention(leaf.usergroup_id, "", env);
    case "broadcast":
      return broadcast(leaf.range);
    case "emoji":
      return document.createTextNode(emoji(leaf.name) ?? `:${leaf.name}:`);
    case "date":
      return h("time", { title: leaf.fallback ?? "" }, slackDate(leaf.timestamp, leaf.format) ?? leaf.fallback ?? "");
    default:
      return document.createTextNode(leaf.text ?? `[${leaf.type}]`);
  }
}
