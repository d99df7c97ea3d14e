// Times, in the zone and language of this browser.

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit", second: "2-digit" });
const dayClock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });

export const hourMinute = (iso) => clock.format(new Date(iso));
export const dayAndMinute = (iso) => dayClock.format(new Date(iso));
export const hourMinuteSecond = (iso) => clockSeconds.format(new Date(iso));
export const inFull = (iso) => full.format(new Date(iso));

const FORMATS = {
  date_num: { year: "numeric", month: "2-digit", day: "2-digit" },
  date: { year: "numeric", month: "long", day: "numeric" },
  date_short: { year: "numeric", month: "short", day: "numeric" },
  date_long: { weekday: "long", year: "numeric", month: "long", day: "numeric" },
  time: { hour: "numeric", minute: "2-digit" },
  time_secs: { hour: "numeric", minute: "2-digit", second: "2-digit" },
};

/** Slack's `<!date^epoch^format>`: every `{token}` of the format replaced, or null where it is not a date. */
export function slackDate(epoch, format, now = new Date()) {
  const at = new Date(Number(epoch) * 1000);
  if (Number.isNaN(at.getTime())) return null;
  return format.replace(/\{(\w+)\}/g, (whole, token) => one(token, at, now) ?? whole);
}

function one(token, at, now) {
  if (token === "ago") return ago(at, now);
  const pretty = token.endsWith("_pretty");
  const format = FORMATS[pretty ? token.slice(0, -"_pretty".length) : token];
  if (!format) return null;
  const day = pretty ? nearDay(at, now) : null;
  return day ?? new Intl.DateTimeFormat(undefined, format).format(at);
}

function nearDay(at, now) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((midnight(at) - midnight(now)) / 86_400_000);
  return { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days] ?? null;
}

function ago(at, now) {
  const words = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
  const seconds = Math.round((at - now) / 1000);
  if (Math.abs(seconds) < 60) return words.format(seconds, "second");
  if (Math.abs(seconds) < 3600) return words.format(Math.round(seconds / 60), "minute");
  if (Math.abs(seconds) < 86_400) return words.format(Math.round(seconds / 3600), "hour");
  return words.format(Math.round(seconds / 86_400), "day");
}
