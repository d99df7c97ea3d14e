// The emoji names that a bot of this kind uses. Others stay written out, as `:name:`.

const EMOJI = {
  white_check_mark: "✅", heavy_check_mark: "✔️", ballot_box_with_check: "☑️", x: "❌", no_entry: "⛔",
  no_entry_sign: "🚫", warning: "⚠️", rotating_light: "🚨", question: "❓", grey_question: "❔",
  exclamation: "❗", information_source: "ℹ️", bulb: "💡", lock: "🔒", unlock: "🔓", key: "🔑",
  closed_lock_with_key: "🔐", old_key: "🗝️", shield: "🛡️", iphone: "📱", calling: "📲", phone: "☎️",
  telephone_receiver: "📞", computer: "💻", hourglass: "⌛", hourglass_flowing_sand: "⏳", stopwatch: "⏱️",
  alarm_clock: "⏰", clock1: "🕐", bell: "🔔", no_bell: "🔕", eyes: "👀", eye: "👁️", wave: "👋",
  raised_hand: "✋", hand: "✋", point_right: "👉", ok_hand: "👌", "+1": "👍", thumbsup: "👍", "-1": "👎",
  thumbsdown: "👎", tada: "🎉", memo: "📝", clipboard: "📋", pushpin: "📌", mag: "🔍", link: "🔗",
  gear: "⚙️", wrench: "🔧", ticket: "🎫", bust_in_silhouette: "👤", busts_in_silhouette: "👥",
  green_circle: "🟢", large_green_circle: "🟢", yellow_circle: "🟡", large_yellow_circle: "🟡", orange_circle: "🟠",
  large_orange_circle: "🟠", red_circle: "🔴", large_blue_circle: "🔵", white_circle: "⚪", black_circle: "⚫",
  arrows_counterclockwise: "🔄", repeat: "🔁", leftwards_arrow_with_hook: "↩️", back: "🔙", sos: "🆘",
  zzz: "💤", fire: "🔥", boom: "💥", speech_balloon: "💬", robot_face: "🤖", slightly_smiling_face: "🙂",
};

export const emoji = (name) => EMOJI[name] ?? null;

/** Every known `:name:` of a plain text replaced. */
export const withEmoji = (text) => text.replace(/:([a-z0-9_+-]+):/g, (whole, name) => EMOJI[name] ?? whole);
