// The review page at work: searches, opens pictures, sends verdicts, takes them back. Keys and buttons do the same.
(() => {
  "use strict";
  const { page, overlay, nudged, requests: { ask, newest, underWay, forget } } = globalThis.glip;
  const { same, accepted, before, expected, nextUnjudged } = globalThis.glip.verdicts;
  const byId = (id) => document.getElementById(id);
  const form = byId("search");
  const NOWHERE = { key: null, index: -1 };
  const state = {
    asked: null, starts: [null], place: 0, next: null, samples: [], // the page of a search that is shown
    going: NOWHERE, seen: NOWHERE, sample: null, // the picture that was asked for last, and the one that is shown
    chosen: -1, all: false, drawing: false, editing: null, undo: [], waiting: [], lost: new Set(), reviewer: "",
    least: 0, searched: "",
  };
  const SLOW_MS = 1_500;

  const guarded = (work) => (...given) => work(...given).catch((error) => page.say(error.message, true));

  function fields() {
    form.elements.min_score.value ||= 0; // left out of the address, it would be the selection's after a reload
    return new URLSearchParams([...new FormData(form)].filter(([, value]) => value !== ""));
  }

  // WebKit refuses more than 100 addresses in ten seconds, which an arrow key that is held down asks for: the picture
  // comes all the same, and the address follows with a later one.
  function writeAddress(how, address) {
    try { history[how](null, "", address); } catch { /* as told above */ }
  }

  // A page of a search, {asked, starts, place}. Until it is there, the page before stays as it was. Gives whether it came.
  async function load(list, { kept = "replaceState", key = "", open = 0 } = {}) {
    const asked = new URLSearchParams(list.asked);
    if (list.starts[list.place]) asked.set("after", list.starts[list.place]);
    const how = `?${asked}` === location.search ? "replaceState" : kept;
    writeAddress(how, `?${asked}${key && `#${encodeURIComponent(key)}`}`);
    state.searched = location.search;
    page.say("Searching …");
    const found = await newest("page", () => ask(`/api/samples?${asked}`));
    if (!found) return false;
    page.say("");
    if (list.asked !== state.asked) page.totals("");
    Object.assign(state, list, found, { going: NOWHERE, seen: NOWHERE });
    page.samples(found.samples, (index) => show(index));
    byId("page-back").disabled = state.place === 0;
    byId("page-next").disabled = !found.next;
    if (key && ((await openKey(key)) || state.going.key)) return true;
    const why = byId("status").textContent; // where the picture that the address names cannot be shown
    if (found.samples.length) await show(open); else nothing();
    if (why) page.say(why, true);
    return true;
  }

  function nothing() { // what is not seen is not judged
    state.sample = null;
    forget("picture");
    page.empty("No box of this dataset matches.");
  }

  async function search(asked, after, how) { // where it fails, nothing follows: its message stays
    const list = { asked, starts: after ? [null, after] : [null], place: after ? 1 : 0 };
    if (!(await load(list, how)) || state.asked !== asked) return;
    const totals = await newest("totals", () => ask(`/api/totals?${asked}`));
    if (totals && state.asked === asked) page.totals(totals);
  }

  const turn = guarded(async (by, open) => {
    if (underWay("page")) return undefined; // a page is on its way, and the next one is known with it
    if (by > 0 && !state.next) return page.say("This was the last picture.");
    if (by < 0 && !state.place) return page.say("This is the first picture.");
    const place = state.place + by;
    const starts = by > 0 ? [...state.starts.slice(0, place), state.next] : state.starts;
    return load({ asked: state.asked, starts, place }, { open });
  });

  function show(index) {
    const place = Math.min(index, state.samples.length - 1);
    return openKey(state.samples[place].key, place);
  }

  const placeOf = (key) => state.samples.findIndex((sample) => sample.key === key);
  const here = (key) => state.sample?.key === key && state.going.key === key; // looked at, and not being left

  const openKey = guarded(async (key, index = placeOf(key)) => {
    const going = state.going = { key, index };
    const sample = await newest("picture", async () => {
      if (state.waiting.some((one) => one.key === key)) await saving; // so that what was said of it is in the answer
      return ask(`/api/sample?key=${encodeURIComponent(key)}`);
    }).catch((error) => { state.going = state.seen; throw error; });
    if (!sample) return false;
    Object.assign(state, { sample, seen: going, drawing: false, editing: null });
    state.lost.delete(key);
    lost();
    page.verdicts(sample.verdicts);
    page.empty("");
    page.picture(sample, state.samples[index + 1]?.key);
    page.current(index);
    page.judged(index, sample.judged);
    writeAddress("replaceState", `#${encodeURIComponent(key)}`);
    aim(nextUnjudged(shown(), -1));
    page.say("");
    paint();
    return true;
  });

  const lost = () => page.lost(state.lost, (key) => openKey(key));

  // As they stand, and will stand when what is on its way is saved: the next key is about the next box.
  const standing = () => state.waiting.filter((one) => one.key === state.sample.key)
    .reduce((found, one) => expected(found, one.judgements), state.sample.boxes);
  const shown = () => standing().filter((box) => box.selected || state.all);
  const chosenBox = () => shown()[state.chosen];

  function paint() {
    if (!state.sample) return;
    const boxes = shown();
    if (state.editing && boxes[state.chosen]) boxes[state.chosen] = { ...boxes[state.chosen], box: state.editing };
    drawn.show(state.sample, boxes, state.chosen, state.drawing);
    page.caption(state.sample, boxes, boxes[state.chosen], (phrase) => choose(boxes.findIndex((box) => box.phrase === phrase)));
    page.boxes(state.sample, boxes, state.chosen, { choose, accept: (index) => judge(index, "accept"), reject: (index) => judge(index, "reject") });
    page.history(state.sample.history);
    page.pressed("draw", state.drawing);
    page.pressed("candidates", state.all);
  }

  function aim(index) { // a box that is drawn now is for the phrase of the chosen one
    Object.assign(state, { chosen: index, editing: null });
    if (chosenBox()) byId("draw-phrase").value = chosenBox().phrase;
  }

  function choose(index) {
    aim(index);
    paint();
    page.reveal();
  }

  let saving = Promise.resolve();
  const save = (judgements, undone) => {
    const { key } = state.sample;
    const work = guarded(async () => {
      const sample = await told(ask("/api/verdicts", { key, judgements }));
      if (undone) state.undo.push({ key, judgements: undone });
      page.verdicts(sample.verdicts);
      page.judged(placeOf(key), sample.judged);
      if (state.sample?.key === key) state.sample = sample;
      return true;
    });
    state.waiting.push({ key, judgements });
    saving = saving.then(work).then((saved) => { // one after another: each builds on what was saved
      state.waiting.shift();
      if (!saved) { state.lost.add(key); lost(); } // until it is looked at again
      return saved;
    });
    return saving;
  };

  async function told(work) { // that it takes long
    const count = () => (state.waiting.length === 1 ? "" : `${state.waiting.length} are waiting.`);
    const slow = setTimeout(() => page.say(`Saving … ${count()}`), SLOW_MS);
    return work.finally(() => {
      clearTimeout(slow);
      if (byId("status").textContent.startsWith("Saving …")) page.say("");
    });
  }

  // What became of verdicts on a picture, said where that is still looked at.
  async function answered(key, saved, text) {
    const done = await saved;
    if (!here(key)) return;
    const why = byId("status").textContent;
    paint();
    if (done) { page.say(text); return; }
    await openKey(key, state.going.index); // what could not be saved is shown no longer, and why stays on the page
    if (here(key)) page.say(why, true);
  }

  function judge(index, verb) {
    const box = shown()[index], { key } = state.sample;
    if (!box) return page.say("There is no box to judge.");
    const said = verb === "accept" ? accepted(box) : { phrase: box.phrase, target: box.target, verdict: "rejected" };
    const again = box.verdict === said.verdict && [state.reviewer, "you"].includes(box.by);
    const saved = again || save([said], [before(box)]);
    const rest = shown().some((one) => !one.verdict) ? "" : ". Every shown box has a verdict.";
    aim(nextUnjudged(shown(), index));
    paint();
    page.reveal();
    const text = `${said.verdict}: ${state.sample.phrases[box.phrase]}`;
    return again ? page.say(`${text}, as before${rest}`) : answered(key, saved, text + rest);
  }

  function correct(index, corners) {
    const box = shown()[index], { key } = state.sample;
    state.editing = null;
    if (same(corners, box.box)) return paint();
    const verdict = box.score === null ? "added" : "corrected";
    const saved = save([{ phrase: box.phrase, target: box.target, verdict, drawn: corners }], [before(box)]);
    paint();
    return answered(key, saved, `corrected: ${state.sample.phrases[box.phrase]}`);
  }

  async function add(corners) {
    const said = { phrase: Number(byId("draw-phrase").value), target: corners }, { key } = state.sample;
    const saved = save([{ ...said, verdict: "added", drawn: corners }], [{ ...said, verdict: "withdrawn" }]);
    const own = () => shown().findIndex((box) => same(box.box, corners));
    state.drawing = false;
    aim(own());
    paint();
    await answered(key, saved, `added: ${state.sample.phrases[said.phrase]}`);
    if (here(key) && !chosenBox()) { aim(own()); paint(); } // it took the place of a stored box
  }

  function acceptRest() {
    const rest = shown().filter((box) => !box.verdict), { key } = state.sample;
    if (!rest.length) return page.say("Every shown box has a verdict.");
    const saved = save(rest.map(accepted), rest.map(before));
    paint();
    return answered(key, saved, rest.length === 1 ? "accepted 1 box" : `accepted ${rest.length} boxes`);
  }

  let undoing = Promise.resolve();
  const undo = () => { undoing = undoing.then(guarded(undoLast)); }; // the last, and then the one before it

  async function undoLast() {
    await saving; // the last verdict may be on its way
    const last = state.undo.pop();
    if (!last) return page.say("No verdict of this visit is left to take back.");
    if (!here(last.key)) await openKey(last.key);
    if (!here(last.key)) { state.undo.push(last); return undefined; }
    const saved = save(last.judgements);
    const place = shown().findIndex((box) => same(box.target, last.judgements[0].target));
    aim(place < 0 ? nextUnjudged(shown(), -1) : place);
    paint();
    if (!(await saved)) state.undo.push(last);
    return answered(last.key, saved, "taken back");
  }

  // --------------------------------------------------------------------------------------------- buttons and keys

  const step = (by) => (state.samples[state.going.index + by] ? show(state.going.index + by) : turn(by, by < 0 ? Infinity : 0));
  const verbs = {
    accept: () => judge(state.chosen, "accept"),
    reject: () => judge(state.chosen, "reject"),
    undo, acceptRest,
    draw: () => { state.drawing = !state.drawing; paint(); page.say(state.drawing ? "Drag over the picture to draw a box." : ""); },
    candidates: () => { state.all = !state.all; aim(nextUnjudged(shown(), -1)); paint(); },
    previous: () => step(-1), next: () => step(1),
    boxBefore: () => choose(Math.max(state.chosen - 1, 0)),
    boxAfter: () => choose(Math.min(state.chosen + 1, shown().length - 1)),
    edit: () => { if (chosenBox()) { state.editing = [...chosenBox().box]; page.say("Arrows move the box, with Shift its lower right corner. Enter saves, Escape does not."); } },
  };
  const keys = { a: "accept", r: "reject", u: "undo", "Shift a": "acceptRest", d: "draw", c: "candidates", e: "edit", ArrowLeft: "previous", ArrowRight: "next", ArrowUp: "boxBefore", ArrowDown: "boxAfter" };
  const pressed = ({ key, shiftKey }) => (key.length > 1 ? key : `${shiftKey ? "Shift " : ""}${key.toLowerCase()}`); // Caps Lock or not
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

  function editKey(event) {
    const by = arrows[event.key];
    if (by) state.editing = nudged(state.editing, by, event.shiftKey, state.sample);
    else if (event.key === "Enter") { correct(state.chosen, state.editing.map((value) => Math.round(value * 100) / 100)); return true; }
    else if (event.key === "Escape") { state.editing = null; page.say(""); }
    else return false;
    paint();
    return true;
  }

  const leave = () => byId("main").focus({ preventScroll: true }); // letters are keys again, and no longer text

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select, textarea")) { if (event.key !== "Escape") return; leave(); }
    else if (event.key === "/") byId("search").elements.phrase.focus();
    else if (!state.sample) return;
    else if (event.repeat && !arrows[event.key]) { // one press is one verdict
      if (!keys[pressed(event)] && event.key !== "Enter") return;
    }
    else if (state.editing) { if (!editKey(event)) return; }
    else if (event.key === "Escape" && state.drawing) verbs.draw();
    else if (keys[pressed(event)]) verbs[keys[pressed(event)]]();
    else return;
    event.preventDefault();
  }

  const drawn = overlay(byId("overlay"), { choose, change: correct, drawn: add });
  const asks = guarded(() => search(fields(), null, { kept: "pushState" })); // the browser's Back leads to the search before
  form.addEventListener("submit", (event) => { event.preventDefault(); leave(); asks(); });
  form.addEventListener("change", ({ target }) => { if (target.matches("select")) asks(); });
  // What is chosen with the mouse is done; with the keyboard, the next arrow may choose another.
  let byKeys = false;
  for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { byKeys = kind === "keydown"; }, true);
  addEventListener("change", ({ target }) => { if (target.matches("select") && !byKeys) leave(); });
  for (const [id, by] of [["page-next", 1], ["page-back", -1]]) byId(id).addEventListener("click", () => turn(by));
  for (const button of document.querySelectorAll("[data-do]")) button.addEventListener("click", () => verbs[button.dataset.do]());
  document.addEventListener("keydown", onKey);

  // Search, page and picture at hand stand in the address, so that a reload comes back to them and an address can be
  // passed on.
  function keyOfAddress() {
    const written = location.hash.slice(1);
    try { return decodeURIComponent(written); } catch { return written; } // by hand, with a percent sign of its own
  }

  async function openAddress() {
    const key = keyOfAddress(); // of a page of a search that is under way it is opened with that
    if (key && key !== state.going.key && !underWay("page")) await openKey(key);
  }

  async function searchAddress() {
    const asked = new URLSearchParams(location.search);
    form.reset();
    form.elements.min_score.value = state.least;
    for (const field of form.querySelectorAll("[name]")) field.value = asked.get(field.name) ?? field.value;
    await search(fields(), asked.get("after"), { key: keyOfAddress() });
  }

  addEventListener("hashchange", guarded(openAddress));
  addEventListener("popstate", guarded(async () => { if (location.search !== state.searched) await searchAddress(); }));
  addEventListener("beforeunload", (event) => { if (state.waiting.length) event.preventDefault(); });

  guarded(async () => {
    const about = await ask("/api/dataset");
    page.about(about);
    Object.assign(state, { reviewer: about.reviewer, least: about.min_score });
    await searchAddress();
  })();
})();
