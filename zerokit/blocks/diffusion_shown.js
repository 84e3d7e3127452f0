(made) => {
  // The pictures of the run that goes on, of one that is over, or of one that Gradio's run history brought back.
  const page = PAGE_STATE;
  const pictures = [...(made ?? []), ...(page.earlier ?? [])].slice(0, KEPT_PICTURES);
  const names = (list) => JSON.stringify((list ?? []).map((one) => [one.image?.path ?? one.image?.url, one.caption]));
  if (names(pictures) === names(page.pictures)) return [{ __type__: "update" }, { __type__: "update" }];
  page.pictures = pictures;
  return [pictures, { __type__: "update", interactive: pictures.length > 0 }];
}
