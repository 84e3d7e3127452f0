(images) => {
  const page = document.getElementById("PAGE_ID");
  if (!page) return;
  // Several new pictures are seen beside each other. Gradio's gallery keeps one of them large, whatever it is told.
  const newest = page.querySelector(".zi-gallery .thumbnail-item img")?.src;
  if (images > 1 && newest !== page.newest) {
    const large = page.querySelector(".zi-gallery .preview");
    large?.dispatchEvent(new KeyboardEvent("keydown", { code: "Escape", bubbles: true }));
  }
  page.newest = newest;
  // Stop is gone, and a gallery takes the keyboard for its new picture: back to where the visitor was.
  if (page.lastUsed) page.querySelector(`.zi-ask ${page.lastUsed}`)?.focus({ preventScroll: true });
}
