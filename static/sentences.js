// @ts-check
/** What the page itself has to say. The studio's own sentences come over the socket. */

export const AWAY = "The studio does not answer. Trying again until it does.";
export const LOST = "The connection to the studio broke. Reconnecting.";
export const NO_PATH = "No media path between you and the studio. A firewall or VPN may be in the way.";
export const FALTERS = "The network falters. Holding on.";
export const BROKEN = "This browser could not start the connection. Reload the page.";
/** Why nobody hears the visitor, and what helps. @type {Partial<Record<import("./microphone.js").MicrophoneState, (name: string) => string>>} */
export const DEAF = {
  asking: (name) => `Allow the microphone, and ${name} can hear you.`,
  refused: (name) => `${name} cannot hear you: the microphone is blocked. Allow it in the address bar, then press the microphone button.`,
  missing: (name) => `${name} cannot hear you: no microphone was found. Connect one, then press the microphone button.`,
  busy: (name) => `${name} cannot hear you: another program holds the microphone. Close it, then press the microphone button.`,
  insecure: (name) => `${name} cannot hear you: browsers give the microphone to https pages and to localhost only.`,
};

/** @param {string} name @returns {string} what to do first */
export const welcome = (name) => `Press Start and speak: ${name} says it with you.`;
