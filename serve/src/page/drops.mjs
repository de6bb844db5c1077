/** Files that are dropped anywhere on the page, or pasted; nothing that is dropped is opened instead of the page. */

/** @param {(files: FileList) => void} take */
export function onFiles(take) {
  document.addEventListener('paste', ({ clipboardData }) => {
    if (clipboardData && clipboardData.files.length > 0) take(clipboardData.files);
  });

  // Every element within is entered and left, too.
  let depth = 0;
  const enter = (/** @type {number} */ by) => {
    depth += by;
    document.body.classList.toggle('dragging', depth > 0);
  };
  window.addEventListener('dragenter', () => enter(1));
  window.addEventListener('dragleave', () => enter(-1));
  window.addEventListener('dragover', (event) => event.preventDefault());
  window.addEventListener('drop', (event) => {
    event.preventDefault();
    enter(-depth);
    if (event.dataTransfer) take(event.dataTransfer.files);
  });
}
