() => {
  const page = PAGE_STATE;
  const LOOK_AFTER_MS = 300, LOST_MS = 20000;
  // A picture dropped anywhere beside the places that take one brings its settings back.
  const seen = (element) => element && element.offsetParent !== null;
  const takes = (target) => {
    const block = target.closest(".block");
    return block !== null && block.querySelector("input[type=file]") !== null;
  };
  const isMine = (event) => {
    if (!event.dataTransfer || ![...event.dataTransfer.types].includes("Files")) return false;
    if (event.target.closest && takes(event.target)) return false;
    const pages = [...document.querySelectorAll(".zi-page")].filter(seen);
    const meant = pages.find((one) => one.contains(event.target)) || pages[0];
    return meant && meant.id === "PAGE_ID";
  };
  document.addEventListener("dragover", (event) => { if (isMine(event)) event.preventDefault(); });
  document.addEventListener("drop", (event) => {
    if (!isMine(event)) return;
    const input = document.querySelector("#PAGE_ID .zi-dropped input[type=file]");
    event.preventDefault();
    if (!input) return;
    input.files = event.dataTransfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
  });
  for (const kind of ["pointerdown", "keydown"]) {  // when a key comes up, the button that it pressed is gone
    document.addEventListener(kind, (event) => {
      const ask = event.target.closest && event.target.closest("#PAGE_ID .zi-ask");
      page.lastUsed = !ask ? "" : event.target.closest("textarea") ? "textarea" : ".zi-generate";
    }, true);
  }
  // Look at the editor when it may have changed, one look after the other: they would overtake each other.
  let waiting, since = 0, isMissed = false;
  page.look = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const button = document.querySelector("#PAGE_ID .zi-look");  // in a tab that is not open there is none
      isMissed = Date.now() - since < LOST_MS;
      if (isMissed || !button) return;
      since = Date.now();
      button.click();
    }, LOOK_AFTER_MS);
  };
  page.looked = () => {
    since = 0;
    if (isMissed) page.look();
  };
  for (const kind of ["pointerup", "keyup"]) {
    document.addEventListener(kind, (event) => {
      if (event.target.closest && event.target.closest("#PAGE_ID .zi-start .image-container")) page.look();
    });
  }
  page.look();
  document.addEventListener("keydown", (event) => {  // one run at a time, also for who presses Enter twice
    const box = event.target.closest && event.target.closest("#PAGE_ID .zi-ask textarea");
    if (!box || event.key !== "Enter" || event.shiftKey || !page.isBusy) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  document.addEventListener("keydown", (event) => {  // Enter alone is the text box's own
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    if (event.target.closest && event.target.closest("#PAGE_ID .zi-ask textarea")) {
      document.querySelector("#PAGE_ID .zi-generate")?.click();
    }
  });
}
