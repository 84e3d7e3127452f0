const config = __CONFIG__;
const at = (name) => element.querySelector(".zl" + name);
const cards = () => (Array.isArray(props.cards) ? props.cards : []);
const picked = () => ({ ...(props.value?.picked ?? {}) });
let cardsShown = null;
let rowsShown = null;

function make(tag, name, text) {
  const node = document.createElement(tag);
  node.className = name;
  if (text !== undefined) node.textContent = text;
  if (tag === "button") node.type = "button";
  return node;
}

function say(text) {
  at("-live").textContent = text;
}

function take(weights) {
  props.value = { picked: weights };
  render();
}

function toggle(card) {
  const weights = picked();
  if (Object.hasOwn(weights, card.name)) delete weights[card.name];
  else if (Object.keys(weights).length >= config.most) return say(`At most ${config.most} adapters work together.`);
  else weights[card.name] = card.weight;
  say("");
  take(weights);
}

function cardOf(card) {
  const node = make("button", "zl-card");
  const picture = make("span", "zl-picture", card.picture ? "" : card.initials);
  if (card.picture) picture.style.backgroundImage = `url("${card.picture}")`;
  picture.setAttribute("aria-hidden", "true");
  node.append(picture, make("span", "zl-name", card.name));
  node.title = card.name;
  node.dataset.name = card.name;
  node.addEventListener("click", () => toggle(card));
  return node;
}

const number = (value) => String(Math.round(value * 100) / 100);

function sliderOf(card, weight) {
  const label = make("label", "zl-weight");
  const slider = make("input", "zl-slider");
  const said = make("output", "zl-number", number(weight));
  slider.type = "range";
  slider.step = "0.05";
  slider.min = String(Math.min(0, card.weight, weight));
  slider.max = String(Math.max(config.usual, card.weight, weight));
  slider.value = String(weight);
  slider.setAttribute("aria-label", `Weight of ${card.name}`);
  slider.addEventListener("input", () => { said.textContent = number(slider.valueAsNumber); });
  slider.addEventListener("change", () => {
    props.value = { picked: { ...picked(), [card.name]: slider.valueAsNumber } };
  });
  label.append(make("span", "zl-of", card.name), slider, said);
  return label;
}

function rowOf(card, weight) {
  const node = make("div", "zl-row");
  node.append(sliderOf(card, weight));
  if (card.trigger) node.append(make("span", "zl-trigger", `Adds “${card.trigger}” to the prompt`));
  for (const text of card.examples) {
    const example = make("button", "zl-small zl-example", text);
    example.addEventListener("click", () => trigger("example", { text }));
    node.append(example);
  }
  if (card.own) {
    const remove = make("button", "zl-small zl-remove", "Remove");
    remove.setAttribute("aria-label", `Remove ${card.name}`);
    remove.addEventListener("click", () => trigger("remove", { name: card.name }));
    node.append(remove);
  }
  return node;
}

function search() {
  const wanted = at("-search").hidden ? "" : at("-search").value.trim().toLowerCase();
  let found = 0;
  for (const node of at("-cards").children) {
    node.hidden = !node.dataset.name.toLowerCase().includes(wanted);
    found += node.hidden ? 0 : 1;
  }
  at("-none").hidden = found > 0 || !wanted;
}

function render() {
  const all = cards();
  const weights = picked();
  const names = JSON.stringify(all);
  if (names !== cardsShown) {
    cardsShown = names;
    at("-cards").replaceChildren(...all.map(cardOf));
    at("-search").hidden = all.length < config.search_from;
    at("-random").hidden = all.length < 2;
    search();
  }
  for (const node of at("-cards").children) {
    node.setAttribute("aria-pressed", String(Object.hasOwn(weights, node.dataset.name)));
  }
  const chosen = all.filter((card) => Object.hasOwn(weights, card.name));
  const rows = JSON.stringify(chosen);
  if (rows !== rowsShown) {
    rowsShown = rows;
    at("-rows").replaceChildren(...chosen.map((card) => rowOf(card, weights[card.name])));
  }
  at("-clear").disabled = chosen.length === 0;
}

at("-search").addEventListener("input", search);
at("-clear").addEventListener("click", () => {
  take({});
  at("-cards").querySelector("button")?.focus();
});
at("-random").addEventListener("click", () => {
  const weights = picked();
  const others = cards().filter((card) => !Object.hasOwn(weights, card.name));
  const card = others[Math.floor(Math.random() * others.length)];
  if (card) take({ [card.name]: card.weight });
  if (card) say(`Picked ${card.name}.`);
});
watch(["value", "cards"], () => {
  rowsShown = null;
  render();
});
render();
