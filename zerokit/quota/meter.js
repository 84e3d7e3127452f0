const config = __CONFIG__;
const at = (name) => element.querySelector(".zq" + name);
const known = (value) => typeof value === "number" && Number.isFinite(value);
const atLeast0 = (value) => (known(value) && value >= 0 ? value : null);

let price = atLeast0(props.price_s);
let pagePlan = null;
let skewMs = 0;
let announced = null;
let taken = null;
let rechecks = 0;
let refreshedAt = null;

const now = () => Date.now() + skewMs;
const millis = (iso) => {
  const found = typeof iso === "string" ? Date.parse(iso) : NaN;
  return Number.isFinite(found) ? found : null;
};

// Words: the same as words.py.
function duration(seconds, up) {
  const whole = Math.max(0, up ? Math.ceil(seconds) : Math.floor(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (hours) return minutes ? `${hours} h ${minutes} min` : `${hours} h`;
  if (minutes) return rest ? `${minutes} min ${rest} s` : `${minutes} min`;
  return `${rest} s`;
}
const runs = (count) => (count === 1 ? "1 run" : `${count} runs`);
const tenth = (seconds) => (seconds < 10 ? `${Math.round(seconds * 10) / 10} s` : duration(Math.round(seconds)));
const day = (plan) => duration(plan.base_s) + (plan.runs ? ` and ${runs(plan.runs)}` : "") + " a day";

function when(moment) {
  const minutes = Math.ceil((moment - now()) / 60000);
  if (minutes <= 1) return "in a minute";
  if (minutes <= 10) return `in ${minutes} min`;
  const date = new Date(moment);
  const midnight = new Date(now()).setHours(0, 0, 0, 0);
  const days = Math.round((new Date(moment).setHours(0, 0, 0, 0) - midnight) / 86400000);
  const time = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  if (days === 0) return `at ${time}`;
  if (days === 1) return `tomorrow at ${time}`;
  return `on ${date.toLocaleDateString([], { weekday: "long" })} at ${time}`;
}

// What is known now: the Hub's numbers, the plan that the outer page told, and what time has given back since.
function withPlan(value) {
  const plan = config.plans[pagePlan];
  if (!plan || (known(value.left_s) && (value.signed_in || value.plan === pagePlan))) return value;
  return {
    ...value,
    plan: pagePlan,
    exactness: "at most",
    base_s: plan.base_s,
    left_s: Math.max(0, plan.base_s - (atLeast0(value.page_used_s) ?? 0)),
    runs_limit: plan.runs,
    runs_left: plan.runs === null ? null : Math.max(0, plan.runs - (atLeast0(value.page_runs) ?? 0)),
    overquota: plan.overquota,
  };
}

function current(value) {
  const passed = (iso) => millis(iso) !== null && millis(iso) <= now();
  const state = { ...value };
  if (passed(state.resets_at)) Object.assign(state, { left_s: state.base_s, resets_at: null, overquota_used_s: null });
  if (passed(state.runs_reset_at)) Object.assign(state, { runs_left: state.runs_limit, runs_reset_at: null });
  for (const name of ["base_s", "left_s", "runs_left", "runs_limit", "overquota_used_s"]) {
    state[name] = atLeast0(state[name]);
  }
  return state;
}

function kindOf(state) {
  if (!state.exactness) return "waiting";
  if (state.left_s === null) return "unknown";
  if (state.runs_left === 0) return "runs-gone";
  if (state.left_s < 1) return state.overquota ? "paid" : "empty";
  if (price !== null && price > state.left_s && !state.overquota) return "low";
  return state.exactness === "exact" && state.left_s === state.base_s ? "fresh" : "used";
}

function leftWords(kind, state) {
  if (kind === "waiting") return "";
  if (kind === "unknown") return "GPU time left is not known";
  if (kind === "runs-gone") return "No runs left";
  if (kind === "empty") return "No GPU time left";
  if (kind === "paid") {
    return state.overquota_used_s >= 1 ? `On credits, ${duration(state.overquota_used_s, true)} so far` : "On credits";
  }
  const both = [duration(state.left_s), state.runs_left === null ? "" : runs(state.runs_left)];
  return (state.exactness === "exact" ? "" : "Up to ") + both.filter(Boolean).join(" and ") + " left";
}

function backWords(kind, state) {
  const moment = millis(kind === "runs-gone" ? (state.runs_reset_at ?? state.resets_at) : state.resets_at);
  if (moment === null || kind === "unknown" || kind === "waiting") return "";
  return kind === "paid" && state.base_s ? `${duration(state.base_s)} back ${when(moment)}` : `back ${when(moment)}`;
}

function priceWords(kind, state) {
  if (price === null || kind === "runs-gone" || kind === "empty" || kind === "waiting") return "";
  const next = `Next run: about ${duration(price, true)}`;
  if (kind === "low") return `Next run needs ${duration(price, true)}: up to ${duration(state.left_s)} fits`;
  return kind === "used" && state.overquota && price > state.left_s ? `${next}, on credits` : next;
}

function lastWords(state) {
  const used = atLeast0(state.last?.used_s);
  if (used === null) return ["", ""];
  const reserved = atLeast0(state.last.reserved_s);
  return reserved === null
    ? ["", `used ${tenth(used)}`]
    : [`reserved ${duration(reserved, true)}, `, `used ${tenth(used)}`];
}

function hint(kind, state) {
  if (kind !== "empty" && kind !== "runs-gone") return null;
  const { free, pro } = config.plans;
  if (!state.signed_in && (state.plan === null || state.plan === "anonymous")) {
    return free && { text: `Signing in gives ${day(free)}` };
  }
  return state.plan === "free" && pro ? { text: `PRO gives ${day(pro)}`, href: config.pro_url } : null;
}

function show(selector, text) {
  const node = at(selector);
  if (node && node.textContent !== text) node.textContent = text;
}

function render() {
  const root = element.querySelector(".zq");
  if (!root) return;
  const state = current(props.value || {});
  const kind = kindOf(state);
  const left = leftWords(kind, state);
  const back = backWords(kind, state);
  const share = state.left_s === null || !state.base_s ? 0 : Math.min(1, state.left_s / state.base_s);
  root.dataset.kind = kind;
  const whole = [left, back].filter(Boolean).join(", ");
  show("-left", back ? `${left},` : left);
  show("-back", back);
  show("-price", priceWords(kind, state));
  const [reserved, used] = lastWords(state);
  show("-reserved", reserved);
  show("-used", used);
  at("-last").hidden = !used;
  at("-last").title = state.last?.cold ? "The GPU had to be woken up first." : "";
  at("-main").title = kind !== "waiting" && kind !== "unknown" && state.exactness !== "exact"
    ? "The most it can be. The exact number is known once you have signed in here."
    : "";
  renderTrack(state, whole || "not known yet", kind === "paid" ? 0 : share);
  renderLinks(kind, state);
  if (announced !== null && announced !== left && kind !== "waiting") show("-live", whole);
  announced = kind === "waiting" ? announced : left;
}

function renderTrack(state, text, share) {
  const track = at("-track");
  track.setAttribute("aria-valuemax", String(state.base_s || 100));
  track.setAttribute("aria-valuenow", String(Math.floor(share * (state.base_s || 100))));
  track.setAttribute("aria-valuetext", text);
  at("-fill").style.width = `${(share * 100).toFixed(1)}%`;
}

function renderLinks(kind, state) {
  const advice = hint(kind, state);
  const link = at("-hint");
  show("-hint", advice ? advice.text : "");
  link.hidden = !advice;
  if (advice?.href) link.href = advice.href;
  else link.removeAttribute("href");
  const signIn = at("-sign-in");
  signIn.hidden = !(state.can_sign_in && !state.signed_in);
  signIn.href = signInUrl();
}

// Gradio's own route, which exists wherever a gr.LoginButton does.
function signInUrl() {
  const here = window.location;
  const target = encodeURIComponent(here.pathname + here.search);
  return `${config.login_path}?_target_url=${target}`;
}

at("-sign-in").setAttribute("aria-label", "Sign in with Hugging Face to see your GPU time");
element.addEventListener("click", (event) => {
  if (event.target.closest(".zq-sign-in")) window.parent?.postMessage({ type: "SET_SCROLLING", enabled: true }, "*");
});

// The Hub's page around this one knows the plan of a visitor who has not signed in to the Space.
function outerOrigin() {
  if (window.parent === window) return null;
  const loopback = (host) => ["127.0.0.1", "localhost", "[::1]"].includes(host);
  try {
    const outer = new URL(document.referrer);
    if (outer.protocol === "http:" && loopback(outer.hostname) && loopback(window.location.hostname)) return outer.origin;
  } catch {
    return "https://huggingface.co"; // no referrer
  }
  return "https://huggingface.co";
}

function planOf(told) {
  if (!told || typeof told !== "object") return null;
  const organisations = { team: "team", plus: "enterprise", enterprise: "enterprise" };
  if (told.org !== undefined && told.org !== null && !Object.hasOwn(organisations, told.org)) return null;
  const names = [told.user, organisations[told.org]].filter((name) => Object.hasOwn(config.plans, name));
  return names.sort((one, other) => config.plans[other].base_s - config.plans[one].base_s)[0] ?? null;
}

const outer = outerOrigin();
function hear(event) {
  if (!element.isConnected) return window.removeEventListener("message", hear);
  if (event.origin !== outer || event.source !== window.parent || event.data?.type !== "USER_PLAN") return;
  pagePlan = planOf(event.data.plan);
  take();
}
function askPlan(tries) {
  if (pagePlan !== null || tries === 0 || !element.isConnected) return;
  window.parent.postMessage({ type: "USER_PLAN_REQUEST" }, outer);
  window.setTimeout(askPlan, 2000, tries - 1);
}

// A number that was only an estimate, or that time has changed, is asked for again.
function refresh() {
  if (element.isConnected && document.visibilityState === "visible") trigger("refresh");
}
function recheck(value) {
  if (!value.signed_in || value.exactness !== "at most") rechecks = 0;
  else if (rechecks < 3) window.setTimeout(refresh, config.recheck_ms * 3 ** rechecks++);
}
// Bars of one page tell the same numbers: the newest that any of them was told. Each keeps its own price.
const page = (window.zerokitQuota ??= new EventTarget());
function tell(value) {
  if (!(millis(value.as_of) > (millis(page.value?.as_of) ?? 0))) return;
  page.value = value;
  page.dispatchEvent(new Event("told"));
}
function adopt() {
  if (!element.isConnected) return page.removeEventListener("told", adopt);
  if (millis(page.value?.as_of) > (millis(props.value?.as_of) ?? 0)) props.value = { ...page.value, price_s: null };
}

function take() {
  const value = props.value;
  if (value && typeof value === "object") {
    const served = millis(value.as_of);
    if (served !== null && value.as_of !== taken) {
      tell(value);
      const off = served - Date.now();
      skewMs = Math.abs(off) > 60000 ? off : 0;
      taken = value.as_of;
      recheck(value);
    }
    const merged = withPlan(value);
    if (merged !== value) props.value = merged;
  }
  render();
}

watch("value", () => {
  price = atLeast0(props.value?.price_s) ?? price;
  take();
});
watch("price_s", () => {
  price = atLeast0(props.price_s);
  render();
});

let looked = Date.now();
function look() {
  if (!element.isConnected) return document.removeEventListener("visibilitychange", look);
  if (document.visibilityState === "visible" && Date.now() - looked > 60000 && props.value?.signed_in) refresh();
  looked = Date.now();
}
document.addEventListener("visibilitychange", look);
const clock = window.setInterval(() => {
  if (!element.isConnected) return window.clearInterval(clock);
  render();
  const due = millis(props.value?.resets_at);
  if (due === null || due > now() || due === refreshedAt || !props.value.signed_in) return;
  refreshedAt = due;
  refresh();
}, config.tick_ms);

if (outer) {
  window.addEventListener("message", hear);
  askPlan(4);
}
page.addEventListener("told", adopt);
adopt();
take();
