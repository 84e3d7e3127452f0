(prompt, negative_prompt, aspect, width, height, images, steps, guidance, scheduler, seed, randomise, strength) => {
  const settings = { prompt, negative_prompt, width, height, steps, guidance, scheduler, strength };
  if (!randomise || seed !== null) settings.seed = seed;
  const link = new URL(window.location.href);
  link.search = "";
  link.hash = "";
  for (const [name, value] of Object.entries(settings)) {
    if (value !== null && value !== undefined && value !== "") link.searchParams.set(name, value);
  }
  const button = [...document.querySelectorAll("button")].find((b) => b.textContent.trim() === "Copy a link to these settings");
  const say = (words) => {
    if (!button) return;
    button.textContent = words;
    setTimeout(() => { button.textContent = "Copy a link to these settings"; }, 2000);
  };
  navigator.clipboard.writeText(link.toString()).then(() => say("Link copied"), () => window.prompt("Copy this link", link.toString()));
}
