// The newest snapshot, and who and what its ids mean.

export class World {
  snapshot = null;

  take(snapshot) {
    this.snapshot = snapshot;
  }

  get people() {
    return this.snapshot?.people ?? [];
  }

  person(id) {
    return this.people.find((person) => person.id === id);
  }

  channel(id) {
    return this.snapshot?.channels?.[id];
  }

  usergroup(id) {
    return (this.snapshot?.usergroups ?? []).find((group) => group.id === id);
  }

  /** "@Ken Ito", or the id where nobody is known by it. The bot is not among the people. */
  mention(id) {
    const person = this.person(id);
    if (person) return `@${person.name}`;
    return id === "U0UNLATCH" ? "@Unlatch" : `@${id}`;
  }

  /** The messages that this person can see in this channel: of the private ones, only their own. */
  visible(channelId, personId) {
    const all = this.snapshot?.messages?.[channelId] ?? [];
    return all.filter((message) => !message.only_for || message.only_for === personId);
  }
}

/** What a channel is called in this person's client. */
export function channelName(channel) {
  return channel.direct ? "Unlatch" : `#${channel.name}`;
}
