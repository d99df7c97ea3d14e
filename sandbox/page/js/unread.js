// What each person has not seen yet. Slack keeps this on its servers; here it lasts as long as the page.

export class Unread {
  #seen = new Map();
  #personId;

  constructor(personId) {
    this.#personId = personId;
  }

  /** How many messages of others came after the newest one that was on the screen. */
  count(channelId, messages) {
    if (!this.#seen.has(channelId)) this.#seen.set(channelId, newest(messages));
    const seen = this.#seen.get(channelId);
    return messages.filter((message) => message.ts > seen && message.from.id !== this.#personId).length;
  }

  read(channelId, messages) {
    this.#seen.set(channelId, newest(messages));
  }
}

const newest = (messages) => messages.at(-1)?.ts ?? "";
