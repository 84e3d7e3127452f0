(made) => {
  const page = PAGE_STATE;
  const newest = made?.[0]?.image?.path;
  const isNew = newest !== undefined && newest !== page.newest;
  if (isNew) page.newest = newest;
  // Several new pictures are seen beside each other. Gradio's gallery keeps one of them large, whatever it is told.
  if (isNew && made.length > 1) {
    const large = document.querySelector("#PAGE_ID .zi-gallery .preview");
    large?.dispatchEvent(new KeyboardEvent("keydown", { code: "Escape", bubbles: true }));
  }
  // Stop is gone, and a gallery takes the keyboard for its new picture: back to where the visitor was.
  const back = () => {
    if (page.lastUsed) document.querySelector(`#PAGE_ID .zi-ask ${page.lastUsed}`)?.focus({ preventScroll: true });
  };
  const gallery = document.querySelector("#PAGE_ID .zi-gallery");
  gallery?.addEventListener("focusin", back, { once: true });
  setTimeout(() => gallery?.removeEventListener("focusin", back), 1000);
  back();
  return [isNew && made.length === 1 ? { __type__: "update", selected_index: 0 } : { __type__: "update" }];
}
