/** The camera: one picture after the other to whoever judges them, the next when the one before is answered. */

/** The longer side of a picture; the model sees far less. */
const SIDE = 640;
const PAUSE_MS = 120;

export const hasCamera = () => navigator.mediaDevices?.getUserMedia !== undefined;

/**
 * @param {HTMLVideoElement} video
 * @param {(picture: Blob, signal: AbortSignal) => Promise<void>} judge
 * @returns {Promise<{ stop(): void, picture(): Promise<Blob> }>}
 */
export async function startCamera(video, judge) {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: 'environment', width: { ideal: 1280 } },
    audio: false,
  });
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
  video.srcObject = stream;
  await video.play().catch((error) => {
    release();
    throw error;
  });
  const ended = new AbortController();
  const canvas = document.createElement('canvas');

  /** @returns {Promise<Blob>} */
  const picture = () => {
    const scale = Math.min(1, SIDE / Math.max(video.videoWidth, video.videoHeight));
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext('2d')?.drawImage(video, 0, 0, canvas.width, canvas.height);
    return new Promise((resolve, reject) => {
      canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error('no picture'))), 'image/jpeg', 0.9);
    });
  };
  const run = async () => {
    while (!ended.signal.aborted) {
      if (!document.hidden) await judge(await picture(), ended.signal);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  run().catch(() => {});
  return {
    picture,
    stop() {
      ended.abort();
      release();
    },
  };
}
