() => {
  // What was in the gallery before this run stays there, behind its pictures.
  const page = PAGE_STATE;
  if (!page.isBusy) page.earlier = page.pictures ?? [];
  page.isBusy = true;
  for (const other of document.querySelectorAll("#PAGE_ID .zi-run")) other.inert = true;
  return [
    { __type__: "update", visible: false },
    { __type__: "update", visible: true, value: "Stop", interactive: true },
  ];
}
