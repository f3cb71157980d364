/**
 * Measurements inside the page, on what the visitor really gets: received pixels and received sound.
 * Evaluated by the browser tests; leaves one object, `measure`, behind and nothing running.
 */
globalThis.measure = (() => {
  const video = () => /** @type {HTMLVideoElement} */ (document.querySelector('video'));
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

  /** Call `see(context, now)` for every presented picture, drawn into a canvas of width x height, for `seconds`. */
  async function watch(seconds, width, height, see) {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', {willReadFrequently: true});
    const element = video();
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      const shown = await Promise.race([
        new Promise((done) => element.requestVideoFrameCallback((_now, frame) => done(frame))),
        sleep(1000).then(() => null),
      ]);
      if (!shown) continue;
      context.drawImage(element, 0, 0, width, height);
      see(context.getImageData(0, 0, width, height).data, shown);
    }
  }

  /**
   * The luma of a small patch left of the middle, of every picture as it is handed out to be shown, for `seconds`.
   * A busy machine composes few pages a second, so that `watch` would miss most flashes, which last one picture.
   */
  async function* pictures(seconds) {
    const track = video().srcObject.getVideoTracks()[0];
    const reader = new MediaStreamTrackProcessor({track, maxBufferSize: 10}).readable.getReader();
    const patch = new Uint8Array(4096);
    const end = performance.now() + seconds * 1000;
    while (performance.now() < end) {
      const {value: frame} = await reader.read();
      await frame.copyTo(patch, {rect: {x: 64, y: 256, width: 16, height: 16}});
      frame.close();
      yield patch[0];
    }
    await reader.cancel();
  }

  const luma = (data, at) => 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];

  return {
    /** Decoded pictures a second over `seconds`, and how many whole seconds went without a new picture. */
    async smoothness(seconds) {
      const quality = () => video().getVideoPlaybackQuality().totalVideoFrames;
      const counts = [];
      const began = performance.now();
      let last = quality();
      const first = last;
      for (let second = 0; second < seconds; second++) {
        await sleep(began + (second + 1) * 1000 - performance.now());
        const now = quality();
        counts.push(now - last);
        last = now;
      }
      const elapsed = (performance.now() - began) / 1000;
      return {fps: (last - first) / elapsed, frozen: counts.filter((n) => n === 0).length, counts};
    },

    /** Flash against beep of the test card: one skew in ms per flash, positive when the picture is late. */
    async skew(seconds) {
      const track = video().srcObject.getAudioTracks()[0];
      const reader = new MediaStreamTrackProcessor({track, maxBufferSize: 50}).readable.getReader();
      const beeps = [];
      const flashes = [];
      let samples = new Float32Array(0);
      const listening = (async () => {
        for (;;) {
          const {value: piece, done} = await reader.read();
          if (done) return;
          const now = performance.now();
          if (samples.length !== piece.numberOfFrames) samples = new Float32Array(piece.numberOfFrames);
          piece.copyTo(samples, {planeIndex: 0, format: 'f32-planar'});
          const at = samples.findIndex((value) => Math.abs(value) > 0.1);
          const onset = now - ((samples.length - at) * 1000) / piece.sampleRate;
          piece.close();
          if (at >= 0 && (!beeps.length || onset - beeps.at(-1) > 300)) beeps.push(onset);
        }
      })();
      let bright = false;
      for await (const level of pictures(seconds)) {
        const flash = level > 180;
        if (flash && !bright) flashes.push(performance.now());
        bright = flash;
      }
      await reader.cancel();
      await listening;
      const skews = [];
      for (const flash of flashes) {
        const nearest = beeps.reduce((best, beep) => Math.abs(beep - flash) < Math.abs(best - flash) ? beep : best, Infinity);
        if (Math.abs(nearest - flash) < 400) skews.push(flash - nearest);
      }
      return {skews, beeps: beeps.length, flashes: flashes.length};
    },

    /**
     * Mean absolute change from picture to picture, in levels, in boxes given as fractions [x0, y0, x1, y1];
     * also the sound's RMS per picture and the share of loud pictures.
     */
    async motion(seconds, boxes) {
      const side = 256;
      let before = null;
      const sums = Object.fromEntries(Object.keys(boxes).map((name) => [name, []]));
      await watch(seconds, side, side, (data) => {
        const grey = new Float32Array(side * side);
        for (let i = 0; i < grey.length; i++) grey[i] = luma(data, 4 * i);
        if (before) {
          for (const [name, [x0, y0, x1, y1]] of Object.entries(boxes)) {
            let sum = 0;
            let n = 0;
            for (let y = Math.floor(y0 * side); y < y1 * side; y++) {
              for (let x = Math.floor(x0 * side); x < x1 * side; x++, n++) {
                sum += Math.abs(grey[y * side + x] - before[y * side + x]);
              }
            }
            sums[name].push(sum / n);
          }
        }
        before = grey;
      });
      const mean = (list) => list.reduce((a, b) => a + b, 0) / Math.max(1, list.length);
      return Object.fromEntries(Object.entries(sums).map(([name, list]) => [name, mean(list)]));
    },

    /** Milliseconds from now until sound stays under `floor` (RMS) for 200 ms; Infinity when it never does in `limit` s. */
    async silenceAfter(limit, floor = 0.005) {
      const sound = new AudioContext();
      await sound.resume();
      const source = sound.createMediaStreamSource(video().srcObject);
      const analyser = new AnalyserNode(sound, {fftSize: 512});
      source.connect(analyser);
      const samples = new Float32Array(analyser.fftSize);
      const began = performance.now();
      let quietSince = null;
      while (performance.now() - began < limit * 1000) {
        analyser.getFloatTimeDomainData(samples);
        const rms = Math.sqrt(samples.reduce((sum, value) => sum + value * value, 0) / samples.length);
        if (rms > floor) quietSince = null;
        else quietSince ??= performance.now();
        if (quietSince !== null && performance.now() - quietSince > 200) break;
        await sleep(5);
      }
      await sound.close();
      return quietSince === null ? Infinity : quietSince - began;
    },
  };
})();
