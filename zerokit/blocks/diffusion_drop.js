() => {
  // A picture dropped anywhere beside the places that take one brings its settings back.
  const takes = (target) => target.closest && target.closest(".image-container, .upload-container, .wrap:has(input[type=file]), button:has(input[type=file]), [data-testid='image-editor'], .zerokit-recall");
  const isFile = (event) => event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => { if (isFile(event) && !takes(event.target)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!isFile(event) || takes(event.target)) return;
    const input = document.querySelector(".zerokit-recall input[type=file]");
    if (!input) return;
    event.preventDefault();
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
}
