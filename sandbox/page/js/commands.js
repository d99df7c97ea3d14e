// What may follow a slash, as the composer suggests it.

export const COMMAND = "/reset-passcode";

const WAYS = [
  { text: `${COMMAND} `, show: COMMAND, hint: "[e-mail or serial:… and a reason] | help | status | sign-in | sign-out", help: "Reset the passcode of a locked-out phone" },
  { text: `${COMMAND} help`, show: "help", hint: "", help: "How to ask, and how to name a device" },
  { text: `${COMMAND} status`, show: "status", hint: "", help: "What your requests wait for" },
  { text: `${COMMAND} sign-in`, show: "sign-in", hint: "", help: "For approvers: sign in to Microsoft" },
  { text: `${COMMAND} sign-out`, show: "sign-out", hint: "", help: "For approvers: sign out" },
];

const TARGETS = [
  { text: `${COMMAND} serial:`, show: "serial:…", hint: "reason", help: "One device, by its serial number" },
  { text: `${COMMAND} imei:`, show: "imei:…", hint: "reason", help: "One device, by its IMEI" },
  { text: `${COMMAND} name:`, show: "name:…", hint: "reason", help: "One device, by its name in Intune" },
];

/** Suggestions for what has been typed so far; `eager` means that Enter completes the first one. */
export function suggestions(typed) {
  if (!typed.startsWith("/") || typed.includes("\n")) return { items: [], eager: false };
  if (COMMAND.startsWith(typed) && typed !== COMMAND) return { items: [WAYS[0]], eager: true };
  if (typed === COMMAND) return { items: WAYS, eager: false };
  if (!typed.startsWith(`${COMMAND} `)) return { items: [], eager: false };
  const rest = typed.slice(COMMAND.length + 1);
  if (/\s/.test(rest)) return { items: [], eager: false };
  const items = [...WAYS.slice(1), ...TARGETS].filter((way) => way.text.startsWith(typed) && way.text !== typed);
  return { items, eager: false };
}
