() => {
  // Whatever a run came to, also where it never reached the server.
  const page = PAGE_STATE;
  page.isBusy = false;
  for (const other of document.querySelectorAll("#PAGE_ID .zi-run")) other.inert = false;
  return [
    { __type__: "update", visible: true },
    { __type__: "update", visible: false, value: "Stop", interactive: true },
  ];
}
