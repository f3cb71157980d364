// @ts-check
/** What the page itself has to say, and when. The studio's own sentences come over the socket. */

import {NO_MICROPHONE} from "./microphone.js";

export const AWAY = "The studio does not answer. Trying again until it does.";
export const LOST = "The connection to the studio broke. Reconnecting.";
export const NO_PATH = "No media path between you and the studio. A firewall or VPN may be in the way.";
export const FALTERS = "The network falters. Holding on.";
export const BROKEN = "This browser could not start the connection. Reload the page.";
/** Why nobody hears the visitor, and what helps. @type {Partial<Record<import("./microphone.js").MicrophoneState, (name: string) => string>>} */
const DEAF = {
  asking: (name) => `Allow the microphone, and ${name} can hear you.`,
  refused: (name) => `${name} cannot hear you: the microphone is blocked. Allow it in the address bar, then press the microphone button.`,
  missing: (name) => `${name} cannot hear you: no microphone was found. Connect one, then press the microphone button.`,
  busy: (name) => `${name} cannot hear you: another program holds the microphone. Close it, then press the microphone button.`,
  insecure: (name) => `${name} cannot hear you: browsers give the microphone to https pages and to localhost only.`,
};

/**
 * @typedef {object} Circumstances
 * @property {import("./call.js").CallState} state
 * @property {{sentence: string, again: boolean} | null} fault
 * @property {import("./microphone.js").MicrophoneState} microphone
 * @property {string} device that was picked to listen with
 * @property {string} name of the avatar
 * @property {string} complaint why there is no avatar to start with
 * @property {boolean} isGreeted the gallery is known
 */

/**
 * One sentence at a time, the most urgent one.
 * @param {Circumstances} circumstances
 * @returns {{sentence: string, isFault: boolean, again: boolean}}
 */
export function choose({state, fault, microphone, device, name, complaint, isGreeted}) {
  if (fault) return {...fault, isFault: true};
  const calm = {isFault: false, again: false};
  const isVisiting = state === "connecting" || state === "live";
  if (isVisiting && device !== NO_MICROPHONE) return {sentence: DEAF[microphone]?.(name) ?? "", ...calm};
  if (state === "idle" && isGreeted) return {sentence: complaint || `Press Start and speak: ${name} says it with you.`, ...calm};
  return {sentence: "", ...calm};
}
