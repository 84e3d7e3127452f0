() => {
  // Stop is gone, and with it the place of the keyboard.
  const button = document.querySelector("#PAGE_ID .zi-generate");
  if (button && (!document.activeElement || document.activeElement === document.body)) {
    button.focus({ preventScroll: true });
  }
}
