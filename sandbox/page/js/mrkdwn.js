// Slack's own markup, read into nodes.
import { h } from "./dom.js";
import { emoji } from "./emoji.js";
import { autoLinked, broadcast, channelMention, groupMention, link, safeHref, userMention } from "./links.js";
import { slackDate } from "./time.js";

const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };

/** The three entities Slack knows, decoded in one pass: `&amp;lt;` is the text `&lt;`. */
export const decode = (text) => text.replace(/&(?:amp|lt|gt);/g, (entity) => ENTITIES[entity]);

/** Nodes for a mrkdwn text. `env` has the world and the reader; `verbatim` switches off auto-linking. */
export function mrkdwn(source, env, { verbatim = false } = {}) {
  const context = { env, verbatim };
  const out = document.createDocumentFragment();
  // Odd pieces are what stood between two fences.
  source.split(/```\n?([\s\S]+?)\n?```/).forEach((piece, index) => {
    if (index % 2) out.append(h("pre", {}, decode(unangled(piece))));
    else out.append(...paragraphs(piece, context));
  });
  return out;
}

const QUOTE = /^(?:>|&gt;) ?/;

function paragraphs(text, context) {
  const nodes = [];
  let quote = null;
  const lines = trimmed(text).split("\n");
  for (const [index, line] of lines.entries()) {
    if (QUOTE.test(line)) {
      if (quote) quote.append(h("br"));
      else nodes.push((quote = h("blockquote")));
      quote.append(...inline(line.replace(QUOTE, ""), context));
      continue;
    }
    if (index > 0 && !quote) nodes.push(h("br"));
    quote = null;
    nodes.push(...inline(line, context));
  }
  return nodes;
}

// A fence is drawn as a block of its own: the line breaks around it would show as empty lines.
const trimmed = (text) => text.replace(/^\n/, "").replace(/\n$/, "");

const WRAPS = { "*": "strong", _: "em", "~": "s" };
const WORD = /[\p{L}\p{N}]/u;

/** One line: marks, code, emoji and `<…>` become nodes, all else text. */
function inline(text, context) {
  const nodes = [];
  let plain = "";
  let at = 0;
  const flush = () => {
    if (plain) nodes.push(...textNodes(plain, context));
    plain = "";
  };
  while (at < text.length) {
    const found = angled(text, at, context) ?? code(text, at) ?? wrapped(text, at, context) ?? emojiAt(text, at);
    if (!found) {
      plain += text[at];
      at += 1;
      continue;
    }
    flush();
    nodes.push(found.node);
    at = found.end;
  }
  flush();
  return nodes;
}

function textNodes(text, { verbatim }) {
  return verbatim ? [decode(text)] : autoLinked(decode(text));
}

function code(text, at) {
  if (text[at] !== "`") return null;
  const close = text.indexOf("`", at + 1);
  if (close <= at + 1) return null;
  return { node: h("code", {}, decode(unangled(text.slice(at + 1, close)))), end: close + 1 };
}

function emojiAt(text, at) {
  if (text[at] !== ":") return null;
  const match = /^:([a-z0-9_+-]+):/.exec(text.slice(at, at + 60));
  const drawn = match && emoji(match[1]);
  return drawn ? { node: h("span", { class: "emoji", title: match[0] }, drawn), end: at + match[0].length } : null;
}

function wrapped(text, at, context) {
  const mark = text[at];
  const tag = WRAPS[mark];
  if (!tag || WORD.test(text[at - 1] ?? "") || /\s/.test(text[at + 1] ?? " ")) return null;
  const close = closing(text, at + 1, mark);
  if (close < 0) return null;
  return { node: h(tag, {}, inline(text.slice(at + 1, close), context)), end: close + 1 };
}

/** Where the mark that opened before `from` closes: after a letter, not before one, not inside `<…>` or code. */
function closing(text, from, mark) {
  for (let at = from; at < text.length; at += 1) {
    const jump = { "<": ">", "`": "`" }[text[at]];
    const over = jump ? text.indexOf(jump, at + 1) : -1;
    if (over > 0) at = over;
    else if (text[at] === mark && at > from && !/\s/.test(text[at - 1]) && !WORD.test(text[at + 1] ?? "")) return at;
  }
  return -1;
}

function angled(text, at, context) {
  if (text[at] !== "<") return null;
  const close = text.indexOf(">", at + 1);
  if (close < 0) return null;
  return { node: reference(text.slice(at + 1, close), context), end: close + 1 };
}

function reference(body, { env }) {
  const bar = body.indexOf("|");
  const target = bar < 0 ? body : body.slice(0, bar);
  const label = bar < 0 ? "" : decode(body.slice(bar + 1));
  if (/^@[UWB]/.test(target)) return userMention(target.slice(1), env);
  if (/^#C/.test(target)) return channelMention(target.slice(1), env);
  if (target.startsWith("!")) return special(target.slice(1), label, env);
  const address = decode(target);
  return safeHref(address) ? link(address, label || address.replace(/^(mailto|tel):/, "")) : textOf(`<${decode(body)}>`);
}

function special(name, label, env) {
  if (["here", "channel", "everyone"].includes(name)) return broadcast(name);
  if (name.startsWith("subteam^")) return groupMention(name.slice("subteam^".length), label, env);
  if (name.startsWith("date^")) return date(name.split("^"), label);
  return textOf(label || `<!${name}>`);
}

function date([, epoch, format = "", address = ""], fallback) {
  const shown = slackDate(epoch, format) ?? fallback;
  const node = h("time", { title: fallback }, shown);
  return address ? h("span", {}, link(address, shown)) : node;
}

const textOf = (text) => document.createTextNode(text);

/** Inside code the angle brackets go, and what they pointed at stays as text. */
const unangled = (text) => text.replace(/<([^<>|\n]+)(?:\|([^<>\n]*))?>/g, (_whole, target, label) => label || target);
