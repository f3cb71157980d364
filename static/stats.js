// @ts-check
/**
 * What a connection does, as numbers: the browser's own counters and what the studio tells about itself.
 *
 * Pure but for the histories it keeps; drawing is the view's work.
 */

/** @typedef {{label: string, unit: string, digits: number, help: string}} Metric */
/** @typedef {Record<string, number>} Counters */

/** Samples kept for a sparkline: one a second. */
export const HISTORY = 60;

/** @type {Record<string, Record<string, Metric>>} */
export const METRICS = {
  "What you see": {
    fps: {label: "Pictures", unit: "fps", digits: 0, help: "Pictures decoded in each second"},
    video_kbps: {label: "Video", unit: "kbit/s", digits: 0, help: "Video received in each second"},
    audio_kbps: {label: "Sound", unit: "kbit/s", digits: 0, help: "Sound received in each second"},
  },
  "Your network": {
    rtt_ms: {label: "Round trip", unit: "ms", digits: 0, help: "To the studio and back"},
    jitter_ms: {label: "Jitter", unit: "ms", digits: 1, help: "How unevenly packets arrive"},
    loss_percent: {label: "Loss", unit: "%", digits: 1, help: "Packets that never arrived"},
  },
  "The studio": {
    beat_lateness_ms: {label: "Lateness", unit: "ms", digits: 1, help: "How late a beat of 40 ms leaves, 95 of 100 are better"},
    engine_ms: {label: "Drawing", unit: "ms", digits: 1, help: "Time to draw one picture"},
    queue_ms: {label: "Waiting speech", unit: "ms", digits: 0, help: "Heard but not yet spoken"},
  },
};

const BEAT_MS = 40;

/** Histories of every metric of one visit. */
export class History {
  /** @type {Map<string, number[]>} */
  #values = new Map();

  /** @param {Counters} sample */
  add(sample) {
    for (const [name, value] of Object.entries(sample)) {
      const values = this.#values.get(name) ?? [];
      values.push(Number.isFinite(value) ? value : 0);
      if (values.length > HISTORY) values.shift();
      this.#values.set(name, values);
    }
  }

  /** @param {string} name @returns {readonly number[]} oldest first */
  of(name) {
    return this.#values.get(name) ?? [];
  }
}

/** @param {RTCStatsReport} report @returns {{counters: Counters, note: string}} running totals, and codec, size and path in words */
export function read(report) {
  /** @type {Counters} */
  const counters = {time: 0, frames: 0, video: 0, audio: 0, received: 0, lost: 0, jitter: 0, rtt: 0};
  const note = {codec: "", size: "", path: ""};
  for (const item of report.values()) {
    if (item.type === "inbound-rtp") {
      counters.time = item.timestamp;
      counters.received += item.packetsReceived ?? 0;
      counters.lost += item.packetsLost ?? 0;
      counters[item.kind] = item.bytesReceived ?? 0;
      if (item.kind === "video") {
        counters.frames = item.framesDecoded ?? 0;
        counters.jitter = (item.jitter ?? 0) * 1000;
        note.size = item.frameWidth ? `${item.frameWidth} × ${item.frameHeight}` : "";
        note.codec = report.get(item.codecId)?.mimeType?.replace("video/", "") ?? "";
      }
    } else if (item.type === "candidate-pair" && item.nominated && item.state === "succeeded") {
      const local = report.get(item.localCandidateId);
      counters.rtt = (item.currentRoundTripTime ?? 0) * 1000;
      note.path = local ? `${local.candidateType === "relay" ? "relayed" : "direct"}, ${local.protocol}` : "";
    }
  }
  return {counters, note: Object.values(note).filter(Boolean).join(" · ")};
}

/** @param {Counters} before @param {Counters} after totals of `read`, the second one later @returns {Counters} what happened in between */
export function derive(before, after) {
  const seconds = (after.time - before.time) / 1000;
  if (seconds <= 0) return {};
  const lost = Math.max(0, after.lost - before.lost);
  const sent = lost + after.received - before.received;
  return {
    fps: (after.frames - before.frames) / seconds,
    video_kbps: (after.video - before.video) * 0.008 / seconds,
    audio_kbps: (after.audio - before.audio) * 0.008 / seconds,
    rtt_ms: after.rtt,
    jitter_ms: after.jitter,
    loss_percent: sent > 0 ? 100 * lost / sent : 0,
  };
}

/** @param {import("./signaling.js").ServerStats} stats @returns {Counters} */
export function fromStudio(stats) {
  return {beat_lateness_ms: stats.beat_lateness_ms, engine_ms: stats.engine_ms, queue_ms: stats.queue_depth * BEAT_MS};
}

/**
 * @param {readonly number[]} values oldest first; the newest stands at the right edge
 * @param {number} width @param {number} height in units of the drawing
 * @returns {string} the `points` of a polyline; the scale starts at zero and leaves some air above the highest value
 */
export function sparkline(values, width, height) {
  const top = Math.max(...values, 1) * 1.15;
  const x = (/** @type {number} */ index) => width - (values.length - 1 - index) * width / (HISTORY - 1);
  return values.map((value, index) => `${x(index).toFixed(1)},${(height - 1 - Math.max(0, value) / top * (height - 2)).toFixed(1)}`).join(" ");
}
