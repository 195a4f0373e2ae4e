/* What the search page can do with scripts; without them every form and link of it works as it is.
   htmx asks for the parts that change; here is what it does not do: dropped and pasted pictures, the
   slider's colours while it is moved, who came and who went, and the keys of the review. */
"use strict";

const byId = (id) => document.getElementById(id);
const form = byId("question");

/* --- a picture that is dropped, pasted or picked is searched for at once */

function take(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/"));
  if (!form || pictures.length === 0) return false;
  const kept = new DataTransfer();
  pictures.forEach((file) => kept.items.add(file));
  byId("image").files = kept.files;
  form.requestSubmit();
  return true;
}

function dropping(on) {
  document.documentElement.classList.toggle("dropping", on);
}

if (form) {
  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    dropping(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) dropping(false);
  });
  document.addEventListener("drop", (event) => {
    dropping(false);
    if (event.dataTransfer.files.length === 0) return;
    event.preventDefault();
    if (!take(event.dataTransfer.files)) say("what was dropped is no picture", true);
  });
  document.addEventListener("paste", (event) => {
    if (take(event.clipboardData.files)) event.preventDefault();
  });
  byId("image").addEventListener("change", (event) => {
    if (event.target.files.length > 0) form.requestSubmit();
  });
  byId("where").form.addEventListener("keydown", (event) => {
    if (event.target.id === "where" && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      form.requestSubmit();
    }
  });
  if (matchMedia("(max-width: 52rem)").matches && byId("results") && document.querySelector(".query")) {
    document.querySelectorAll(".part").forEach((part) => (part.open = false));
  }
}

if (byId("narrowing") && matchMedia("(max-width: 52rem)").matches) byId("narrowing").open = false;

/* --- what is said: aloud for those who do not see it, and where something failed to all */

function say(text, loud) {
  const said = byId("said");
  if (said) said.textContent = text;
  if (!loud) return;
  const alert = document.createElement("p");
  alert.className = "alert";
  alert.setAttribute("role", "alert");
  alert.textContent = text;
  byId("alert").replaceChildren(alert);
}

document.addEventListener("htmx:sendError", () => {
  say("the page's server does not answer; start it again with `reid serve`, then try once more", true);
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.status === 401) location.reload(); /* the session has ended: sign in */
});

document.addEventListener("htmx:afterSettle", () => {
  const where = byId("where");
  if (where) where.setAttribute("aria-invalid", String(Boolean(document.querySelector(".wrong"))));
});

/* --- the slider: colours and number follow at once, the matches when it rests */

let left = null; /* where the slider was left, until that is asked for */
let forget = 0;

document.addEventListener("input", (event) => {
  if (event.target.id !== "slider") return;
  left = event.target.value;
  clearTimeout(forget);
  forget = setTimeout(() => (left = null), 1000);
  const share = (100 * event.target.value) / event.target.max;
  byId("cut-here").setAttribute("width", `${share}%`);
  byId("now").textContent = `up to ${Number(event.target.value)}`;
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt.id === "slider") left = null;
});

/* the bars may be drawn anew before the hand has come to rest: the new slider goes where it was */
document.addEventListener("htmx:afterSettle", () => {
  const slider = byId("slider");
  if (left === null || !slider || slider.value === left) return;
  slider.value = left;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
});

/* --- who came and who went, where one list takes the place of another */

let before = null;

function listed() {
  const cards = [...document.querySelectorAll("#answer .matches > [data-image]")];
  const whole = !document.querySelector("#answer .more");
  return { cards: new Map(cards.map((card) => [card.dataset.image, card])), whole };
}

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.target.id === "answer") before = listed();
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "answer" || before === null) return;
  const old = before;
  before = null;
  const now = listed();
  const list = document.querySelector("#answer .matches");
  if (old.cards.size === 0 && now.cards.size === 0) return;
  /* of a list that was shown in part, what lay beyond the part is not known */
  const came = old.whole ? [...now.cards.keys()].filter((id) => !old.cards.has(id)) : [];
  const went = now.whole ? [...old.cards.keys()].filter((id) => !now.cards.has(id)) : [];
  came.forEach((id) => now.cards.get(id).classList.add("came"));
  const changes = document.createElement("div");
  changes.className = "changes";
  changes.append(strip("came", came, now), strip("went", went, old));
  const place = list || document.querySelector("#answer .nothing");
  if (place && came.length + went.length > 0) place.before(changes);
  const said = byId("said");
  if (said) said.textContent += `; ${came.length} came, ${went.length} went`;
});

function strip(word, ids, from) {
  const part = document.createDocumentFragment();
  if (ids.length === 0) return part;
  const text = document.createElement("span");
  const number = document.createElement("b");
  number.textContent = `${ids.length} ${word}`;
  text.append(number);
  part.append(text);
  if (word !== "went") return part;
  const pictures = document.createElement("ul");
  ids.slice(0, 16).forEach((id) => {
    const item = document.createElement("li");
    const picture = from.cards.get(id).querySelector("img").cloneNode();
    item.append(picture);
    pictures.append(item);
  });
  part.append(pictures);
  return part;
}

/* --- the keys: they act where a match is in focus, and nowhere else */

function cards() {
  return [...document.querySelectorAll(".matches > [data-image] a.frame")];
}

function beside(here, key) {
  const all = cards();
  const at = all.indexOf(here);
  if (key === "ArrowRight") return all[at + 1];
  if (key === "ArrowLeft") return all[at - 1];
  const box = here.getBoundingClientRect();
  const columns = all.filter((card) => {
    const other = card.getBoundingClientRect();
    return Math.abs(other.left - box.left) < 2;
  });
  return columns[columns.indexOf(here) + (key === "ArrowDown" ? 1 : -1)];
}

function go(card) {
  if (!card) return;
  card.focus();
  card.closest("li").scrollIntoView({ block: "nearest" });
}

let judged = null; /* the match that was judged last */

function judge(card, key) {
  const word = { c: "confirmed", r: "rejected", u: "withdrawn" }[key];
  let button = card.closest("li").querySelector(`button[value="${word}"]`);
  if (!button && word === "withdrawn" && judged) {
    card = judged;
    button = card.closest("li").querySelector(`button[value="${word}"]`);
  }
  if (!button) {
    const stands = card.closest("li").querySelector(".verdict");
    say(stands ? "a verdict stands here; undo it first with u" : "keep the query first: verdicts stand on stored queries");
    return;
  }
  button.click();
  if (word === "withdrawn") return go(card);
  judged = card;
  go(beside(card, "ArrowRight"));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const card = document.activeElement.closest ? document.activeElement.closest("a.frame") : null;
  if (!card || !card.closest(".matches")) return;
  if (event.key.startsWith("Arrow")) {
    const next = beside(card, event.key);
    if (next) event.preventDefault();
    go(next);
  } else if ("cru".includes(event.key)) {
    judge(card, event.key);
  } else if (event.key === "n" || event.key === "p") {
    const link = byId(event.key === "n" ? "next-query" : "previous-query");
    if (link) link.click();
    else say(event.key === "n" ? "this was the last query" : "this is the first query");
  }
});

if (document.querySelector("[data-review]") && !location.hash) {
  const first = cards().find((card) => card.closest("li").querySelector(".verdict:not([class*=is-])"));
  go(first || cards()[0]);
}
