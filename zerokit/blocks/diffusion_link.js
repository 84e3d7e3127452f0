async (prompt, negative_prompt, aspect, width, height, images, steps, guidance, scheduler, seed, randomise, strength, preview, picker) => {
  const settings = { prompt, negative_prompt, width, height, steps, guidance, scheduler, strength };
  if (!randomise || seed) settings.seed = seed;  // Gradio shows an empty number as 0
  const picked = picker?.picked ?? {};
  if (Object.keys(picked).length) settings.adapters = JSON.stringify(picked);
  const link = new URL(window.location.href);
  link.search = "";
  link.hash = "";
  for (const [name, value] of Object.entries(settings)) {
    if (value !== null && value !== undefined && value !== "") link.searchParams.set(name, value);
  }
  const copy = (text) => {  // where the browser keeps the clipboard from a page in a frame
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  };
  try {
    await navigator.clipboard.writeText(link.toString());
    return "Link copied";
  } catch {
    return copy(link.toString()) ? "Link copied" : "The browser does not let this page copy";
  }
}
