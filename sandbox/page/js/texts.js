// Slack's text objects.
import { h } from "./dom.js";
import { withEmoji } from "./emoji.js";
import { decode, mrkdwn } from "./mrkdwn.js";

/** Nodes for a text object: mrkdwn is marked up, plain_text is not. */
export function textObject(object, env) {
  if (object.type === "mrkdwn") return mrkdwn(object.text, env, { verbatim: object.verbatim === true });
  return lines(plain(object));
}

/** The bare words of a text object (or of a string), for labels and options. */
export function plain(object) {
  if (!object) return "";
  if (typeof object === "string") return decode(object);
  return object.emoji === false ? decode(object.text) : withEmoji(decode(object.text));
}

function lines(text) {
  return text.split("\n").flatMap((line, index) => (index ? [h("br"), line] : [line]));
}
