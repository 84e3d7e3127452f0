() => {
  // What was in the gallery before this run stays there, behind its pictures.
  const page = document.getElementById("PAGE_ID");
  if (page && !page.busy) {
    page.earlier = page.pictures ?? [];
    page.busy = true;
    for (const other of page.querySelectorAll(".zi-run")) other.inert = true;
  }
  return [
    { __type__: "update", visible: false },
    { __type__: "update", visible: true, value: "Stop", interactive: true },
  ];
}
